package server

import (
	"bytes"
	"errors"

	"github.com/brokerd/brokerd/amqp/wire"
)

// mechanisms are offered in connection.start.
const mechanisms = "AMQPLAIN PLAIN"

var errBadCredentials = errors.New("malformed credentials")

// credentials reads user and password from the response of start-ok. known is false for a mechanism that is not offered.
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
