package dlm

import "fmt"

// Validate refuses parameters that mean nothing, by the name of their field.
func (s Sampling) Validate() error {
	bad := func(field string, v any, expected string) error {
		return fmt.Errorf("%s %v: expected %s", field, v, expected)
	}
	part := func(v float64) bool { return v >= 0 && v <= 1 } // false for NaN
	switch {
	case s.MaxTokens < 0:
		return bad("max_tokens", s.MaxTokens, "a positive number, or 0 for as many as the context holds")
	case !(s.Temperature >= 0 && s.Temperature <= 1e6):
		return bad("temperature", s.Temperature, "0 (greedy) or more")
	case s.TopK < 0:
		return bad("top_k", s.TopK, "0 (off) or more")
	case !part(s.TopP):
		return bad("top_p", s.TopP, "0 (off) to 1")
	case !part(s.MinP):
		return bad("min_p", s.MinP, "0 (off) to 1")
	case !(s.RepetitionPenalty >= 0 && s.RepetitionPenalty <= 1e6):
		return bad("repetition_penalty", s.RepetitionPenalty, "0 or 1 (off), or more")
	}
	for _, stop := range s.Stop {
		if stop == "" {
			return fmt.Errorf("an empty stop string would stop at once; leave it out")
		}
	}
	return nil
}
