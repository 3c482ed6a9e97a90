package registry

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"dlm"
)

// ErrRefused is what Promote returns (wrapped) when no gate lets the adapter
// through.
var ErrRefused = errors.New("promotion refused")

// Promotion asks for an alias to point at an adapter.
type Promotion struct {
	Alias   string
	Adapter dlm.Digest
	Verdict dlm.Digest // the gate's; empty = the newest on this adapter
	Force   bool       // promote without one
	Reason  string     // needed with Force
	Author  string     // empty = the store's
	Share   float64    // of the requests for the name alone, 0 to 1; of canaries only
}

// Promote points the alias at the adapter, if the newest verdict on exactly
// that adapter lets it. With Force it does so without, and the reason is
// recorded. An alias that points there already is left alone.
func Promote(ctx context.Context, store dlm.Store, p Promotion) (dlm.AliasChange, error) {
	a, err := store.Artifact(ctx, p.Adapter)
	if err != nil {
		return dlm.AliasChange{}, err
	}
	if a.Kind != dlm.KindAdapter {
		return dlm.AliasChange{}, fmt.Errorf("promote: %s is a %s, expected an adapter", p.Adapter.Short(), a.Kind)
	}
	if err := checkScope(p, a.Name); err != nil {
		return dlm.AliasChange{}, err
	}
	c := dlm.AliasChange{Alias: p.Alias, Adapter: p.Adapter, Share: p.Share, Why: "promote", Author: p.Author}
	id, verdict, err := verdictFor(ctx, store, p)
	switch {
	case err != nil && !errors.Is(err, ErrRefused):
		return c, err
	case err == nil:
		c.Verdict = id
		if verdict.Outcome != dlm.Pass {
			c.Why = fmt.Sprintf("promote (gate %s, allowed by on_inconclusive: %s)", verdict.Outcome, verdict.OnInconclusive)
		}
		if p.Force && strings.TrimSpace(p.Reason) != "" {
			c.Why += ": " + strings.TrimSpace(p.Reason)
		}
	case !p.Force:
		return c, err
	case strings.TrimSpace(p.Reason) == "":
		return c, errors.New("promote: --force needs a reason, which is recorded: --reason \"...\"")
	default:
		c.Forced, c.Why = true, "forced: "+strings.TrimSpace(p.Reason)
	}
	if now, ok, err := Current(ctx, store, p.Alias); err != nil {
		return c, err
	} else if ok && now.Adapter == c.Adapter && now.Verdict == c.Verdict && now.Forced == c.Forced && now.Share == c.Share {
		return now, nil
	}
	if err := store.SetAlias(ctx, c); err != nil {
		return c, err
	}
	return store.Alias(ctx, p.Alias)
}

// checkScope refuses an alias of another name, and shares where they mean nothing.
func checkScope(p Promotion, name string) error {
	scope, alias, err := dlm.ParseAlias(p.Alias)
	switch {
	case err != nil:
		return fmt.Errorf("promote: %w", err)
	case scope != "" && scope != name:
		return fmt.Errorf("promote: adapter %s is called %q, and %s is an alias of %q; expected %s@%s", p.Adapter.Short(), name, p.Alias, scope, name, alias)
	case !(p.Share >= 0 && p.Share <= 1):
		return fmt.Errorf("promote: share %v; expected 0 to 1", p.Share)
	case p.Share > 0 && alias != Canary:
		return fmt.Errorf("promote: %s takes no share; only %s does", p.Alias, dlm.ScopedAlias(scope, Canary))
	}
	return nil
}

// SetShare says what share of the requests for its name an alias gets that was
// set before: 0 ends a canary, which can then be asked for by its alias alone.
func SetShare(ctx context.Context, store dlm.Store, alias string, share float64, author string) (dlm.AliasChange, error) {
	c, ok, err := Current(ctx, store, alias)
	switch {
	case err != nil:
		return c, err
	case !ok:
		return c, fmt.Errorf("share of %s: %w; promote an adapter to it first: dlm adapters promote ADAPTER --alias %s --share 10%%", alias, ErrUnknown, alias)
	case c.Share == share:
		return c, nil
	}
	if err := checkScope(Promotion{Alias: alias, Share: share}, scopeOf(alias)); err != nil {
		return c, err
	}
	c.Why, c.Author, c.At, c.Share = fmt.Sprintf("share %s -> %s", percent(c.Share), percent(share)), author, time.Time{}, share
	if err := store.SetAlias(ctx, c); err != nil {
		return c, err
	}
	return store.Alias(ctx, alias)
}

func scopeOf(alias string) string {
	name, _, _ := dlm.ParseAlias(alias)
	return name
}

func percent(share float64) string { return strconv.FormatFloat(share*100, 'g', 6, 64) + "%" }

// verdictFor finds the verdict that decides, or says why none lets it through.
func verdictFor(ctx context.Context, store dlm.Store, p Promotion) (dlm.Digest, VerdictRecord, error) {
	id, v := p.Verdict, VerdictRecord{}
	if id != "" {
		var err error
		if v, err = ReadVerdict(ctx, store, id); err != nil {
			return id, v, err
		}
		if v.Adapter != p.Adapter {
			return id, v, fmt.Errorf("%w: verdict %s is on adapter %s, not on %s", ErrRefused, id.Short(), v.Adapter.Short(), p.Adapter.Short())
		}
	} else {
		ids, all, err := Verdicts(ctx, store, p.Adapter)
		if err != nil {
			return id, v, err
		}
		if len(all) == 0 {
			return id, v, fmt.Errorf("%w: no gate has judged adapter %s; run dlm gate %s first, or force it with a reason (--force --reason \"...\")", ErrRefused, p.Adapter.Short(), p.Adapter.Short())
		}
		id, v = ids[0], all[0]
	}
	if !v.Allows() {
		return id, v, fmt.Errorf("%w: the gate's verdict on adapter %s is %s (%s); train a better one, or force it with a reason (--force --reason \"...\")", ErrRefused, p.Adapter.Short(), v.Outcome, v.Reason)
	}
	return id, v, nil
}

// Current returns where the alias points; ok is false when it was never set.
func Current(ctx context.Context, store dlm.Store, alias string) (dlm.AliasChange, bool, error) {
	h, err := store.History(ctx, alias)
	if err != nil || len(h) == 0 || alias == "" {
		return dlm.AliasChange{}, false, err
	}
	return h[0], true, nil
}

// Rollback points the alias at the adapter that it pointed at before the
// current one was promoted. Rolling back again goes one further back. The
// history keeps all of it.
func Rollback(ctx context.Context, store dlm.Store, alias, reason, author string) (dlm.AliasChange, error) {
	h, err := store.History(ctx, alias)
	if err != nil {
		return dlm.AliasChange{}, err
	}
	if alias == "" || len(h) == 0 {
		return dlm.AliasChange{}, fmt.Errorf("rollback: alias %q was never set", alias)
	}
	var stack []dlm.AliasChange // promotions that still count, oldest first
	for i := len(h) - 1; i >= 0; i-- {
		switch {
		case strings.HasPrefix(h[i].Why, rollbackWord) && len(stack) > 1:
			stack = stack[:len(stack)-1]
		case len(stack) > 0 && stack[len(stack)-1].Adapter == h[i].Adapter:
			stack[len(stack)-1] = h[i] // promoted again: not a step of its own
		default:
			stack = append(stack, h[i])
		}
	}
	if len(stack) < 2 {
		err := fmt.Errorf("rollback: %s has pointed at no other adapter before %s", alias, h[0].Adapter.Short())
		if h[0].Share > 0 {
			err = fmt.Errorf("%w; dlm adapters canary %s --share 0 takes its requests away", err, scopeOf(alias))
		}
		return dlm.AliasChange{}, err
	}
	to := stack[len(stack)-2]
	c := dlm.AliasChange{Alias: alias, Adapter: to.Adapter, Verdict: to.Verdict, Forced: to.Forced, Share: to.Share, Why: rollbackWord + " from " + h[0].Adapter.Short(), Author: author}
	if r := strings.TrimSpace(reason); r != "" {
		c.Why += ": " + r
	}
	if err := store.SetAlias(ctx, c); err != nil {
		return c, err
	}
	return store.Alias(ctx, alias)
}

// rollbackWord begins the reason of a rollback; forced reasons begin with
// "forced: ", so that no user text can be taken for it.
const rollbackWord = "rollback"
