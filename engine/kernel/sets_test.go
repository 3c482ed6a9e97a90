package kernel

import (
	"strings"
	"testing"
	"time"
)

func TestSelfTest(t *testing.T) {
	for _, e := range entries() {
		if e.missing != nil && e.missing() != "" {
			t.Logf("%s: lacks %s", e.set.name, e.missing())
			continue
		}
		start := time.Now()
		if err := selfTest(e.set); err != nil {
			t.Errorf("%s: %v", e.set.name, err)
		}
		t.Logf("%s: %v", e.set.name, time.Since(start))
	}
}

// A set that is wrong anywhere must be caught and not be chosen.
func TestSelfTestCatches(t *testing.T) {
	broken := portable
	broken.name = "broken"
	broken.rows[opExp] = func(a *rowArgs) { portableExp(a); f32At(a.dst, a.n)[1] *= 1 + 0x1p-22 }
	if err := selfTest(&broken); err == nil || !strings.Contains(err.Error(), "row function") {
		t.Errorf("one value of exp off by two ulps: %v", err)
	}
	broken = portable
	broken.panel = func(s *scratch, p *panelTask) {
		portablePanel(s, p)
		if p.w.Format == FormatQ4Min {
			p.dst[len(p.dst)-1] *= 1 + 0x1p-23
		}
	}
	if err := selfTest(&broken); err == nil || !strings.Contains(err.Error(), "MatMul q4min") {
		t.Errorf("one value of MatMul off by an ulp: %v", err)
	}
	e := entry{set: &broken, missing: func() string { return "" }}
	for range 2 { // the second answer is the remembered one
		if e.check() == nil {
			t.Error("a broken set passed its check")
		}
	}
}

func TestNewWithNames(t *testing.T) {
	if _, err := NewWith("sse9", 1); err == nil || !strings.Contains(err.Error(), "portable") {
		t.Errorf("unknown set: %v, want the names that there are", err)
	}
	t.Setenv(EnvSet, "portable")
	x, err := New(1)
	if err != nil || x.Name() != "portable" {
		t.Fatalf("New with %s=portable: %v, %v", EnvSet, x, err)
	}
	x.Close()
	t.Setenv(EnvSet, "nonsense")
	if _, err := New(1); err == nil || !strings.Contains(err.Error(), EnvSet) {
		t.Errorf("New with a wrong %s: %v", EnvSet, err)
	}
	for _, s := range Sets() {
		if s.Name == "" || s.Why == "" {
			t.Errorf("set without name or reason: %+v", s)
		}
	}
}
