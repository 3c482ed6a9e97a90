package hub

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
)

// quotaWords are how the Hub speaks of storage that is full.
var quotaWords = regexp.MustCompile(`(?i)storage (limit|quota|patterns)|quota|storage.*(exceeded|reached|full)`)

// explain turns a refusal on the way to a commit into the Hub's own reason with
// the next step.
func (p *push) explain(err error) error { return explain(err, p.r, p.h.opt.Endpoint) }

func explain(err error, r Ref, endpoint string) error {
	var a *answerError
	if !errors.As(err, &a) {
		return err
	}
	said := a.said
	if said == "" {
		said = "no reason given"
	}
	switch {
	case (a.status == http.StatusForbidden || a.status == http.StatusPaymentRequired || a.status == http.StatusRequestEntityTooLarge) && quotaWords.MatchString(said):
		return fmt.Errorf("the storage is full. The Hub says: %s (%d). Remove what is no longer needed, make the repository public if it may be, or enlarge the plan at %s/settings/billing; then push again", said, a.status, endpoint)
	case a.status == http.StatusPaymentRequired:
		return fmt.Errorf("the Hub wants a paid plan for this: %s (402); see %s/settings/billing", said, endpoint)
	case a.status == http.StatusRequestEntityTooLarge:
		return fmt.Errorf("the Hub, or a proxy before it, finds this too large: %s (413)", said)
	case a.code == "GatedRepo":
		return fmt.Errorf("%s is gated. The Hub says: %s. Accept its conditions at %s/%s first", r.Repo, said, endpoint, r.Repo)
	case a.status == http.StatusForbidden:
		return fmt.Errorf("the token may not write to %s. The Hub says: %s (403). Use a token with the right to write there (%s/settings/tokens), or propose the change with --create-pr", r.Repo, said, endpoint)
	case a.status == http.StatusUnauthorized:
		return fmt.Errorf("the Hub does not accept the token for %s: %s (401); make one that may write at %s/settings/tokens and set HF_TOKEN to it", r.Repo, said, endpoint)
	case a.status == http.StatusPreconditionFailed:
		return fmt.Errorf("%s changed while this was pushed. The Hub says: %s (412). What was uploaded is kept there; push again", r.Repo, said)
	case a.status == http.StatusTooManyRequests:
		wait := ""
		if a.retry > 0 {
			wait = fmt.Sprintf(" %v", a.retry)
		}
		return fmt.Errorf("the Hub asks for fewer requests: %s (429); wait%s and push again, it goes on where it was", said, wait)
	case a.status == http.StatusBadRequest:
		return fmt.Errorf("the Hub refuses what was sent: %s (400)", said)
	case a.status >= 500:
		return fmt.Errorf("%w; push again later, it goes on where it was", err)
	}
	return err
}
