package trl

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
)

// free are the fields of job.json that may change between two calls of one job:
// where the base lies, how a step is cut into passes, and what is compared before
// the first.
var free = map[string]bool{
	"base": true, "check": true, "recipe.micro_batch": true, "recipe.packing": true, "recipe.checkpointing": true, "recipe.share_prefix": true,
}

// compare says how the bundle that stands in the folder differs from this one.
func (b Bundle) compare() ([]string, error) {
	var there Manifest
	var job Job
	for name, v := range map[string]any{ManifestFile: &there, JobFile: &job} {
		raw, err := os.ReadFile(b.Path(name))
		if err != nil {
			return nil, fmt.Errorf("the job's bundle is not whole: %w; remove %s to begin anew", err, b.Dir)
		}
		if err := json.Unmarshal(raw, v); err != nil {
			return nil, fmt.Errorf("%s: %w; remove %s to begin anew", b.Path(name), err, b.Dir)
		}
	}
	var diff []string
	now, was := flat(b.Job), flat(job)
	for _, name := range sortedKeys(now, was) {
		if !free[name] && now[name] != was[name] {
			diff = append(diff, fmt.Sprintf("%s is %s, was %s", name, orNothing(now[name]), orNothing(was[name])))
		}
	}
	for _, name := range sortedKeys(b.Manifest.Files, there.Files) {
		if b.Manifest.Files[name] != there.Files[name] {
			diff = append(diff, name+" has other content")
		}
	}
	return diff, nil
}

func sortedKeys[V any](a, b map[string]V) []string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return slices.Sorted(maps.Keys(all))
}

func orNothing(s string) string {
	if s == "" {
		return "nothing"
	}
	return s
}

// flat names every value of a job by its path: "recipe.lr" is 0.001.
func flat(j Job) map[string]string {
	raw, err := json.Marshal(j)
	if err != nil {
		panic(err) // a struct of plain values
	}
	var v any
	d := json.NewDecoder(strings.NewReader(string(raw)))
	d.UseNumber()
	if err := d.Decode(&v); err != nil {
		panic(err)
	}
	out := map[string]string{}
	var walk func(path string, v any)
	walk = func(path string, v any) {
		m, ok := v.(map[string]any)
		if !ok {
			text, _ := json.Marshal(v) // came from JSON
			out[strings.TrimPrefix(path, ".")] = string(text)
			return
		}
		for k, x := range m {
			walk(path+"."+k, x)
		}
	}
	walk("", v)
	return out
}
