package main

import (
	"fmt"
	"strconv"
	"strings"

	"dlm"
	"dlm/stage/registry"
)

// adaptersAliasCmd looks at aliases.
type adaptersAliasCmd struct {
	List adaptersAliasListCmd `cmd:"" default:"1" help:"Where each alias points."`
}

type adaptersAliasListCmd struct {
	History string `help:"All movements of this alias instead, newest first." placeholder:"ALIAS"`
}

func (c *adaptersAliasListCmd) Run(a *app) error {
	s, err := a.store()
	if err != nil {
		return err
	}
	changes, err := s.History(a.ctx, c.History)
	if err != nil {
		return err
	}
	if c.History == "" {
		seen, now := map[string]bool{}, changes[:0]
		for _, ch := range changes { // newest first
			if !seen[ch.Alias] {
				seen[ch.Alias], now = true, append(now, ch)
			}
		}
		changes = now
	}
	a.finish(map[string]any{"aliases": changes}, func() {
		if len(changes) == 0 {
			a.printf("no aliases yet: dlm adapters promote sets one\n")
		}
		for _, ch := range changes {
			a.printf("%-28s %s  %-5s %s  %s, by %s\n", ch.Alias, ch.Adapter.Short(), shareText(ch.Share), ch.At.Local().Format("2006-01-02 15:04"), ch.Why, ch.Author)
		}
	})
	return nil
}

type adaptersCanaryCmd struct {
	Name  string `arg:"" help:"Name of the adapter."`
	Share string `required:"" help:"Of the requests for NAME, those that NAME@canary answers: 10% or 0.1; 0 ends it."`
}

func (c *adaptersCanaryCmd) Run(a *app) error {
	share, err := parseShare(c.Share)
	if err != nil {
		return err
	}
	p, err := a.project(nil)
	if err != nil {
		return err
	}
	if err := a.lock(p, "dlm adapters canary"); err != nil {
		return err
	}
	s, err := a.store()
	if err != nil {
		return err
	}
	names, err := registry.ReadNames(a.ctx, s, p.Name)
	if err != nil {
		return err
	}
	alias := dlm.ScopedAlias(c.Name, registry.Canary)
	if now, ok := names.Aliases(c.Name)[registry.Canary]; ok {
		alias = now.Alias // may be the whole project's
	}
	change, err := registry.SetShare(a.ctx, s, alias, share, "")
	if err != nil {
		return err
	}
	a.finish(change, func() { a.printAlias(change) })
	return nil
}

// parseShare reads 10% or 0.1; nothing is 0.
func parseShare(s string) (float64, error) {
	if s == "" {
		return 0, nil
	}
	digits, isPercent := strings.CutSuffix(strings.TrimSpace(s), "%")
	v, err := strconv.ParseFloat(digits, 64)
	if isPercent {
		v /= 100
	}
	if err != nil || !(v >= 0 && v <= 1) {
		return 0, usageError("--share %s: expected a part of the requests, such as 10%% or 0.1", s)
	}
	return v, nil
}

func shareText(share float64) string {
	if share == 0 {
		return "-"
	}
	return strconv.FormatFloat(share*100, 'g', 4, 64) + "%"
}

func (a *app) printAlias(c dlm.AliasChange) {
	share := ""
	if c.Share > 0 {
		share = " for " + shareText(c.Share) + " of the requests"
	}
	a.printf("%s -> %s%s (%s, by %s)\n", c.Alias, c.Adapter.Short(), share, c.Why, c.Author)
}

// noteShadowed says so when an alias of the whole project was moved to an
// adapter whose name has an alias of the same word, which wins.
func (a *app) noteShadowed(s dlm.Store, c dlm.AliasChange, name string) error {
	scope, alias, err := dlm.ParseAlias(c.Alias)
	if err != nil || scope != "" {
		return err
	}
	own, ok, err := registry.Current(a.ctx, s, dlm.ScopedAlias(name, alias))
	if err == nil && ok && own.Adapter != c.Adapter {
		a.notef("%s", fmt.Sprintf("%s still points at %s, and wins for requests for %s: dlm adapters promote %s --alias %s moves it", own.Alias, own.Adapter.Short(), name, c.Adapter.Short(), own.Alias))
	}
	return err
}
