package secret

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
)

// user is whatever is before an '@', with the scheme and what other URL may be before that.
var user = regexp.MustCompile(`[^@]*@`)

// URL is a URL, or several with commas between, as it may be shown: without users and passwords. A user's name goes too, since it is a token at times. Nothing is
// parsed, because what can't be parsed is shown as well: then more may be missing than is secret.
func URL(urls string) string {
	return user.ReplaceAllStringFunc(urls, func(before string) string {
		shown, _, found := strings.Cut(before, "://")
		if !found {
			return "***@"
		}
		return shown + "://***@"
	})
}

var errURL = errors.New("no URL")

// ParseURL is url.Parse with an error that shows nothing of the URL. An '@' behind the host is an error too: a password was cut where it has a '/', a '?' or
// a '#', and the user would be looked up as a host.
func ParseURL(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") {
		return nil, errURL
	}
	return u, nil
}
