package server

import (
	"bytes"
	"errors"

	"github.com/brokerd/brokerd/amqp/wire"
	"github.com/brokerd/brokerd/cluster"
)

// mechanisms are offered in connection.start.
func (c *conn) mechanisms() string {
	if c.hasCertificate() {
		return "AMQPLAIN PLAIN EXTERNAL"
	}
	return "AMQPLAIN PLAIN"
}

// hasCertificate reports whether the client has shown a certificate, which was found good.
func (c *conn) hasCertificate() bool { return c.session != nil && c.session.certificate != nil }

// authenticate finds the user that a response of start-ok stands for. name is the one that was claimed, as far as it is known. A
// *refusal says that the response is not understood.
func (c *conn) authenticate(mechanism string, response []byte) (user *cluster.User, name string, err error) {
	if mechanism == "EXTERNAL" && c.hasCertificate() {
		// The response would be an identity to act as, which is nobody else's than the certificate's here.
		if name, err = c.opts.UserFrom.user(c.session.certificate); err != nil {
			return nil, "", err
		}
		user, err = c.srv.broker.AuthenticateExternal(name, c.loopback)
		return user, name, err
	}
	name, password, known, err := credentials(mechanism, response)
	if !known {
		return nil, "", refuse("unknown authentication mechanism '%s'", mechanism)
	}
	if err != nil {
		return nil, "", refuse("%s login: %w", mechanism, silent(err))
	}
	user, err = c.srv.broker.Authenticate(name, password, c.loopback)
	return user, name, err
}

var errBadCredentials = errors.New("malformed credentials")

// credentials reads user and password from the response of start-ok. known is false for a mechanism that has none.
func credentials(mechanism string, response []byte) (user, password string, known bool, err error) {
	switch mechanism {
	case "PLAIN":
		user, password, err = plain(response)
	case "AMQPLAIN":
		user, password, err = amqplain(response)
	default:
		return "", "", false, nil
	}
	return user, password, true, err
}

// plain reads RFC 4616: authorization identity (ignored), NUL, user, NUL, password.
func plain(response []byte) (user, password string, err error) {
	parts := bytes.Split(response, []byte{0})
	if len(parts) != 3 {
		return "", "", errBadCredentials
	}
	return string(parts[1]), string(parts[2]), nil
}

// amqplain reads a field table, without its length, that holds LOGIN and PASSWORD.
func amqplain(response []byte) (user, password string, err error) {
	t, err := wire.ParseTable(response)
	if err != nil {
		return "", "", errors.Join(errBadCredentials, err)
	}
	login, ok := t.Get("LOGIN")
	secret, ok2 := t.Get("PASSWORD")
	if !ok || !ok2 || login.Kind != wire.KindString || secret.Kind != wire.KindString {
		return "", "", errBadCredentials
	}
	return login.Str, secret.Str, nil
}
