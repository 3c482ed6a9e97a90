package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// account is what the Hub says of a token.
type account struct {
	Name string `json:"name"`
	Orgs []struct {
		Name string `json:"name"`
		Role string `json:"roleInOrg"`
	} `json:"orgs"`
	Auth struct {
		Token struct {
			Role string `json:"role"` // "read", "write", "fineGrained"
		} `json:"accessToken"`
	} `json:"auth"`
}

// owners are the names that the account may push under, as far as it says.
func (a account) owners() []string {
	out := []string{a.Name}
	for _, o := range a.Orgs {
		if o.Role != "read" {
			out = append(out, o.Name)
		}
	}
	return out
}

// mayPush asks who the token belongs to and refuses at once what the Hub would
// refuse after the upload. A mirror that does not say is believed.
func (h *Hub) mayPush(ctx context.Context, r Ref, pr bool) error {
	settings := h.opt.Endpoint + "/settings/tokens"
	if h.opt.Token == "" {
		return fmt.Errorf("there is no token: make one that may write at %s and set HF_TOKEN to it, or log in with hf auth login, whose token file dlm reads", settings)
	}
	var me account
	_, err := h.getJSON(ctx, r, h.opt.Endpoint+"/api/whoami-v2", &me)
	var a *answerError
	switch {
	case errors.As(err, &a) && a.status == http.StatusUnauthorized:
		return fmt.Errorf("the Hub does not accept the token from %s%s; make one that may write at %s and set HF_TOKEN to it", h.tokenFrom(), colon(a.said), settings)
	case errors.As(err, &a) && a.status == http.StatusNotFound:
		return nil
	case err != nil:
		return explain(err, r, h.opt.Endpoint)
	}
	if me.Auth.Token.Role == "read" {
		return fmt.Errorf("the token of %s (from %s) may only read; make one that may write at %s and set HF_TOKEN to it", me.Name, h.tokenFrom(), settings)
	}
	if me.Auth.Token.Role == "fineGrained" {
		return nil // it need not show the organisations that it may write to
	}
	owner, _, _ := strings.Cut(r.Repo, "/")
	for _, o := range me.owners() {
		if strings.EqualFold(o, owner) || pr {
			return nil
		}
	}
	return fmt.Errorf("the token is that of %s, which may not push to %s; it may push to %s: choose one of these, ask %s for the right to write, or propose the change with --create-pr",
		me.Name, owner, strings.Join(me.owners(), ", "), owner)
}

// tokenFrom says where the token was found, for people.
func (h *Hub) tokenFrom() string {
	if h.from == "" {
		return "the options"
	}
	return h.from
}
