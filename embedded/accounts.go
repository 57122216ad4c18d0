package embedded

import (
	"errors"

	"github.com/versity/versitygw/auth"
)

// errFixed answers attempts to change accounts.
var errFixed = errors.New("accounts of the embedded gateway are fixed by its configuration")

// accounts is the gateway's view of who may sign requests: fixed at the start, nothing on disk.
type accounts []Account

// GetUserAccount implements auth.IAMService.
func (all accounts) GetUserAccount(access string) (auth.Account, error) {
	for _, a := range all {
		if a.Access == access {
			return auth.Account{Access: a.Access, Secret: a.Secret, Role: auth.RoleUser}, nil
		}
	}
	return auth.Account{}, auth.ErrNoSuchUser
}

// ResolveAccounts implements auth.IAMService: it returns those that do not exist.
func (all accounts) ResolveAccounts(access []string) ([]string, error) {
	var unknown []string
	for _, name := range access {
		if _, err := all.GetUserAccount(name); err != nil {
			unknown = append(unknown, name)
		}
	}
	return unknown, nil
}

// CreateAccount implements auth.IAMService, like the following: accounts are configuration.
func (accounts) CreateAccount(auth.Account) error { return errFixed }

// UpdateUserAccount is not supported.
func (accounts) UpdateUserAccount(string, auth.MutableProps) error { return errFixed }

// DeleteUserAccount is not supported.
func (accounts) DeleteUserAccount(string) error { return errFixed }

// ListUserAccounts is not supported.
func (accounts) ListUserAccounts() ([]auth.Account, error) { return nil, errFixed }

// Shutdown has nothing to do.
func (accounts) Shutdown() error { return nil }
