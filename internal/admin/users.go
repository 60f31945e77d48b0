package admin

import (
	"context"
	"encoding/base64"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/brokerd/brokerd/cluster"
	"github.com/brokerd/brokerd/cluster/meta"
	adminv1 "github.com/brokerd/brokerd/proto/admin/v1"
)

// ListUsers implements adminv1.UserServiceServer.
func (a *api) ListUsers(_ context.Context, r *adminv1.ListUsersRequest) (*adminv1.ListUsersResponse, error) {
	p, err := newPage(r.GetPageSize(), r.GetPageToken())
	if err != nil {
		return nil, err
	}
	f, err := newFilter(r.GetNamePrefix(), r.GetNameRegex())
	if err != nil {
		return nil, err
	}
	list, next, total := take(p, func(yield func(string, *meta.User) bool) {
		for u := range a.Broker.State().Users() {
			if f.match(u.Name) && !yield(keyOf(u.Name), u) {
				return
			}
		}
	})
	out := &adminv1.ListUsersResponse{NextPageToken: next, TotalSize: total}
	for _, u := range list {
		out.Users = append(out.Users, userOf(u))
	}
	return out, nil
}

func userOf(u *meta.User) *adminv1.User {
	return &adminv1.User{Name: text(u.Name), Tags: texts(u.Tags), HasPassword: len(u.PasswordHash) > 0, HashAlgorithm: u.HashAlgorithm}
}

// GetUser implements adminv1.UserServiceServer.
func (a *api) GetUser(_ context.Context, r *adminv1.GetUserRequest) (*adminv1.GetUserResponse, error) {
	u := a.Broker.State().User(r.GetName())
	if u == nil {
		return nil, toStatus(&meta.NameError{Err: meta.ErrNoUser, Name: r.GetName()})
	}
	return &adminv1.GetUserResponse{User: userOf(u)}, nil
}

// GetCurrentUser implements adminv1.UserServiceServer.
func (a *api) GetCurrentUser(ctx context.Context, _ *adminv1.GetCurrentUserRequest) (*adminv1.GetCurrentUserResponse, error) {
	c := a.callerOf(ctx)
	if c.local || c.node != "" {
		return &adminv1.GetCurrentUserResponse{User: &adminv1.User{Tags: []string{string(administrator)}}, Local: true}, nil
	}
	u := a.Broker.State().User(c.name)
	if u == nil {
		return nil, status.Errorf(codes.Unauthenticated, "user '%s' was deleted", c.name)
	}
	return &adminv1.GetCurrentUserResponse{User: userOf(u)}, nil
}

// secretOf reads a secret.
func secretOf(s *adminv1.Secret) (out cluster.Secret, err error) {
	switch k := s.GetSecret().(type) {
	case *adminv1.Secret_Password:
		if k.Password == "" {
			return out, violation("secret.password", "want at least one character; leave secret out for a user who cannot log in with a password")
		}
		out.Password = k.Password
	case *adminv1.Secret_PasswordHash:
		out.Algorithm = s.GetHashAlgorithm()
		if out.Hash, err = base64.StdEncoding.DecodeString(k.PasswordHash); err != nil {
			return out, violation("secret.password_hash", "want base64; %v", err)
		}
		if out.Algorithm == meta.HashArgon2id && len(k.PasswordHash) > 0 && k.PasswordHash[0] == '$' {
			out.Hash = []byte(k.PasswordHash)
		}
	}
	return out, nil
}

// PutUser implements adminv1.UserServiceServer.
func (a *api) PutUser(ctx context.Context, r *adminv1.PutUserRequest) (*adminv1.PutUserResponse, error) {
	secret, err := secretOf(r.GetSecret())
	if err != nil {
		return nil, err
	}
	if err := putMode(r.GetMode(), a.Broker.State().User(r.GetName()) != nil, "user", r.GetName()); err != nil {
		return nil, err
	}
	created, err := a.Broker.PutUser(a.actor(ctx), r.GetName(), secret, r.GetTags())
	if err != nil {
		return nil, toStatus(err)
	}
	return &adminv1.PutUserResponse{Created: created}, nil
}

// DeleteUser implements adminv1.UserServiceServer.
func (a *api) DeleteUser(ctx context.Context, r *adminv1.DeleteUserRequest) (*adminv1.DeleteUserResponse, error) {
	if c := a.callerOf(ctx); c.name != "" && c.name == r.GetName() {
		return nil, notHere("user '%s' cannot delete himself", c.name)
	}
	return &adminv1.DeleteUserResponse{}, toStatus(a.Broker.DeleteUser(a.actor(ctx), r.GetName()))
}

// SetPassword implements adminv1.UserServiceServer.
func (a *api) SetPassword(ctx context.Context, r *adminv1.SetPasswordRequest) (*adminv1.SetPasswordResponse, error) {
	secret, err := secretOf(r.GetSecret())
	if err != nil {
		return nil, err
	}
	return &adminv1.SetPasswordResponse{}, toStatus(a.Broker.SetUserSecret(a.actor(ctx), r.GetName(), secret))
}

// SetUserTags implements adminv1.UserServiceServer.
func (a *api) SetUserTags(ctx context.Context, r *adminv1.SetUserTagsRequest) (*adminv1.SetUserTagsResponse, error) {
	return &adminv1.SetUserTagsResponse{}, toStatus(a.Broker.SetUserTags(a.actor(ctx), r.GetName(), r.GetTags()))
}

// CheckPassword implements adminv1.UserServiceServer.
func (a *api) CheckPassword(_ context.Context, r *adminv1.CheckPasswordRequest) (*adminv1.CheckPasswordResponse, error) {
	_, err := a.Broker.Authenticate(r.GetName(), r.GetPassword(), true)
	return &adminv1.CheckPasswordResponse{Valid: err == nil}, nil
}
