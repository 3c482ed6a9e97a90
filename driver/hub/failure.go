package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// answerError is an answer of the Hub, or of something in its place, that is not
// what was asked for.
type answerError struct {
	status int
	code   string // X-Error-Code
	said   string // the Hub's own reason
	msg    string // for people; never holds the token
	retry  time.Duration
}

func (e *answerError) Error() string { return e.msg }

// temporary reports whether the same request may succeed later.
func (e *answerError) temporary() bool {
	return e.status == http.StatusTooManyRequests || e.status == http.StatusRequestTimeout || e.status >= 500
}

// reachError is a request that got no answer.
type reachError struct {
	host string
	err  error
}

func (e *reachError) Error() string { return fmt.Sprintf("%s cannot be reached: %v", e.host, e.err) }
func (e *reachError) Unwrap() error { return e.err }

// hashError is content that is not what its source announced.
type hashError struct {
	file, expected, got string
}

func (e *hashError) Error() string {
	return fmt.Sprintf("%s has the wrong hash: expected %s, got %s; what came was removed, pull again, and if it stays so do not use this source", e.file, e.expected, e.got)
}

// errOffline is why the Hub is not asked.
var errOffline = errors.New("HF_HUB_OFFLINE is set, so the Hub is not asked")

// outOfReach reports whether err means that the Hub does not serve us, as
// opposed to wrong content, a full disk or a person who stopped it.
func outOfReach(err error) bool {
	var a *answerError
	var r *reachError
	return errors.As(err, &a) || errors.As(err, &r) || errors.Is(err, errOffline)
}

// worthRetry reports whether the next attempt may go better.
func worthRetry(err error) bool {
	var final *finalError
	if errors.As(err, &final) {
		return false
	}
	var a *answerError
	if errors.As(err, &a) {
		return a.temporary()
	}
	var r *reachError
	return errors.As(err, &r) && !errors.Is(err, context.Canceled)
}

// failed turns an unwelcome answer into an error that says what to do.
func (h *Hub) failed(resp *http.Response, r Ref) error {
	e := &answerError{status: resp.StatusCode, code: resp.Header.Get("X-Error-Code"), retry: retryAfter(resp)}
	e.said = reason(resp)
	said := e.said
	page := h.opt.Endpoint + "/" + r.Repo
	login := "set HF_TOKEN to a token that may read it"
	if h.opt.Token != "" {
		login = "the token that is set may not read it"
	}
	switch {
	case e.code == "GatedRepo":
		e.msg = fmt.Sprintf("%s is gated: accept its conditions at %s and %s", r.Repo, page, login)
	case e.code == "RevisionNotFound":
		e.msg = fmt.Sprintf("%s has no revision %q; see %s/tree/main for what there is", r.Repo, r.Revision, page)
	case e.code == "EntryNotFound":
		e.msg = fmt.Sprintf("%s at %s has no such file: %s", r.Repo, r.Revision, resp.Request.URL.Path)
	case e.code == "DisabledRepo" || strings.Contains(said, "is disabled"):
		e.msg = fmt.Sprintf("%s is disabled by the Hub", r.Repo)
	case e.status == 401 && strings.Contains(said, "Invalid credentials"):
		e.msg = "the Hub does not accept the token; check HF_TOKEN or the token file"
	case e.code == "RepoNotFound" || e.status == 401 && h.opt.Endpoint == hostOf(resp):
		e.msg = fmt.Sprintf("the Hub has no %s that it would show us; check owner and name, and if it is private %s", r.Repo, login)
	case e.status == 403:
		e.msg = fmt.Sprintf("%s refuses access (403 Forbidden%s); a proxy may stand in between, or %s", resp.Request.URL.Host, colon(said), login)
	case e.status == 404:
		e.msg = fmt.Sprintf("%s does not know %s (404)", resp.Request.URL.Host, resp.Request.URL.Path)
	case e.status == 429:
		e.msg = fmt.Sprintf("%s asks for fewer requests (429%s); wait a while", resp.Request.URL.Host, colon(said))
	default:
		e.msg = fmt.Sprintf("%s answers %s%s", resp.Request.URL.Host, resp.Status, colon(said))
	}
	return e
}

func colon(s string) string {
	if s == "" {
		return ""
	}
	return ": " + s
}

func hostOf(resp *http.Response) string {
	return resp.Request.URL.Scheme + "://" + resp.Request.URL.Host
}

// rateLimit matches the part of a RateLimit header that counts when nothing is
// left: "api";r=0;t=55, 55 seconds until it is filled again.
var rateLimit = regexp.MustCompile(`;\s*r\s*=\s*0\s*;\s*t\s*=\s*(\d{1,6})`)

// retryAfter reads how long an answer asks to wait; 0 where it does not.
func retryAfter(resp *http.Response) time.Duration {
	if m := rateLimit.FindStringSubmatch(resp.Header.Get("RateLimit")); m != nil && resp.StatusCode == http.StatusTooManyRequests {
		s, _ := strconv.Atoi(m[1])
		return time.Duration(s) * time.Second
	}
	s, err := strconv.Atoi(strings.TrimSpace(resp.Header.Get("Retry-After")))
	if err != nil || s < 0 || s > 1e6 {
		return 0
	}
	return time.Duration(s) * time.Second
}

// diskError says plainly when the disk is full.
func diskError(path string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("the disk is full: %s cannot be written (%w); what came so far is kept, free some space and pull again", path, err)
	}
	return fmt.Errorf("write %s: %w", path, err)
}
