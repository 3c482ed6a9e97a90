package evals

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
)

// RecordedArm makes an arm of completions that something else has generated:
// another engine, a hosted API, a person. path is JSON Lines of item_id and
// completion; other fields are ignored. Run refuses the arm when it lacks an
// item.
func RecordedArm(name, path string) (Arm, error) {
	f, err := os.Open(path)
	if err != nil {
		return Arm{}, fmt.Errorf("recorded answers: %w", err)
	}
	defer f.Close()
	answers, err := parseRecorded(path, f)
	if err != nil {
		return Arm{}, err
	}
	return Arm{Name: name, recorded: answers}, nil
}

func parseRecorded(name string, r io.Reader) (map[string]string, error) {
	answers := map[string]string{}
	br := bufio.NewReaderSize(r, 1<<16)
	for line := 1; ; line++ {
		raw, err := readLine(br)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("%s:%d: %w", name, line, err)
		}
		last := errors.Is(err, io.EOF)
		if len(raw) > 0 {
			var a struct {
				ItemID     *string `json:"item_id"`
				Completion *string `json:"completion"`
			}
			if err := json.Unmarshal(raw, &a); err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, line, err)
			}
			if a.ItemID == nil || a.Completion == nil {
				return nil, fmt.Errorf("%s:%d: expected the text fields item_id and completion: %s", name, line, excerpt(raw))
			}
			if _, twice := answers[*a.ItemID]; twice {
				return nil, fmt.Errorf("%s:%d: item_id %q: answered before", name, line, *a.ItemID)
			}
			answers[*a.ItemID] = *a.Completion
		}
		if last {
			return answers, nil
		}
	}
}

// missing lists the items that recorded answers lack.
func (a Arm) missing(ids []string) []string {
	var out []string
	for _, id := range ids {
		if _, ok := a.recorded[id]; a.recorded != nil && !ok {
			out = append(out, id)
		}
	}
	return out
}
