package auth

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// A token is a header and the time from which on it is not used any more.
type token struct {
	header string
	renew  time.Time
}

const (
	defaultLife = time.Minute // of a token whose answer does not say
	maxLife     = 24 * time.Hour
	maxMargin   = 30 * time.Second // before its end a token is renewed
	clientID    = "shalefs"
)

// forever is a header that only a 401 ends.
func forever(header string, now time.Time) *token {
	return &token{header: header, renew: now.Add(10 * 365 * 24 * time.Hour)}
}

// tokenAnswer is the answer of a token server, in both of its forms.
// Source: distribution, "Token Authentication Specification" and "Oauth2 Token Authentication".
type tokenAnswer struct {
	Token       string      `json:"token"`
	AccessToken string      `json:"access_token"`
	ExpiresIn   json.Number `json:"expires_in"`
}

// fetchToken asks the realm of a Bearer challenge (REG-20). A refresh token
// goes by POST; where the server does not know that, and for passwords, by GET.
func (a *Authorizer) fetchToken(ctx context.Context, ch Challenge, scope string, cred Credential) (*token, error) {
	realm, secrets, err := checkRealm(ch.Params["realm"], a.opt.Registry)
	if err != nil {
		return nil, err
	}
	if !secrets && !cred.IsZero() {
		return nil, fmt.Errorf("%w %s: credentials go over https, or to the registry's own host", ErrRealm, realm.Host)
	}
	q := url.Values{}
	if s := ch.Params["service"]; s != "" {
		q.Set("service", s)
	}
	scopes := mergeScopes(scope, ch.Params["scope"])

	var ans Answer
	if cred.IdentityToken != "" {
		ans, err = a.post(ctx, realm, q, scopes, cred)
		if err != nil {
			return nil, err
		}
	}
	if cred.IdentityToken == "" || ans.Status == http.StatusNotFound || ans.Status == http.StatusMethodNotAllowed {
		ans, err = a.get(ctx, realm, q, scopes, cred)
		if err != nil {
			return nil, err
		}
	}
	if ans.Status != http.StatusOK {
		return nil, fmt.Errorf("%w: token server %s answers %d %s", ErrDenied, realm.Host, ans.Status, http.StatusText(ans.Status))
	}
	return a.parseToken(ans.Body, realm.Host)
}

func (a *Authorizer) post(ctx context.Context, realm *url.URL, q url.Values, scopes []string, cred Credential) (Answer, error) {
	form := url.Values{
		"grant_type": {"refresh_token"}, "refresh_token": {cred.IdentityToken},
		"client_id": {clientID}, "service": q["service"], "scope": {strings.Join(scopes, " ")},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, realm.String(), strings.NewReader(form.Encode()))
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %s", ErrRealm, realm.Host)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	return a.opt.Do(ctx, req)
}

func (a *Authorizer) get(ctx context.Context, realm *url.URL, q url.Values, scopes []string, cred Credential) (Answer, error) {
	u := *realm
	params := u.Query()
	for k, v := range q {
		params[k] = v
	}
	params["scope"] = scopes
	user, password := cred.Username, cred.Password
	if cred.IdentityToken != "" {
		password = cred.IdentityToken
	}
	if user != "" {
		params.Set("account", user)
	}
	u.RawQuery = params.Encode()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return Answer{}, fmt.Errorf("%w: %s", ErrRealm, realm.Host)
	}
	if user != "" || password != "" {
		req.Header.Set("Authorization", basic(user, password))
	}
	return a.opt.Do(ctx, req)
}

// parseToken reads an answer. Its life counts from now, not from the server's
// issued_at: clocks differ. A quarter of it, at most 30 s, is kept as margin.
func (a *Authorizer) parseToken(body []byte, host string) (*token, error) {
	var ans tokenAnswer
	if err := json.Unmarshal(body, &ans); err != nil {
		return nil, fmt.Errorf("token server %s: the answer is not JSON", host)
	}
	value := ans.Token
	if value == "" {
		value = ans.AccessToken
	}
	if value == "" || strings.ContainsAny(value, "\r\n\x00") {
		return nil, fmt.Errorf("token server %s: no token in the answer", host)
	}
	life := defaultLife
	if secs, err := ans.ExpiresIn.Float64(); err == nil && secs > 0 {
		life = maxLife
		if secs < maxLife.Seconds() {
			life = time.Duration(secs * float64(time.Second))
		}
	}
	margin := min(life/4, maxMargin)
	return &token{header: "Bearer " + value, renew: a.opt.Now().Add(life - margin)}, nil
}
