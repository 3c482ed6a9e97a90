package lora

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"sort"
	"strings"

	"dlm/engine/model"
)

// neutral are the fields of PEFT's LoraConfig (0.21) that do not change what an
// adapter computes once it is trained.
var neutral = map[string]bool{
	"auto_mapping": true, "base_model_name_or_path": true, "inference_mode": true, "peft_version": true,
	"revision": true, "megatron_core": true, "qalora_group_size": true, "lora_dropout": true,
	// Settings of an initialisation; init_lora_weights says whether one was used.
	"corda_config": true, "eva_config": true, "loftq_config": true, "lora_ga_config": true,
}

// refused says, for fields that change the maths, what is not supported. They
// are accepted when switched off (null, false, empty).
var refused = map[string]string{
	"alora_invocation_tokens": "activated LoRA",
	"arrow_config":            "Arrow routing",
	"bias":                    "trained biases",
	"ensure_weight_tying":     "adapters on tied embeddings",
	"exclude_modules":         "excluded modules",
	"fan_in_fan_out":          "transposed weights (GPT-2's Conv1D)",
	"kasa_config":             "KaSA",
	"layer_replication":       "replicated layers",
	"layers_pattern":          "adapters on some layers only",
	"layers_to_transform":     "adapters on some layers only",
	"lora_bias":               "a bias on B",
	"megatron_config":         "Megatron layers",
	"modules_to_save":         "whole modules saved beside the adapter",
	"monteclora_config":       "MonteCLoRA",
	"target_parameters":       "adapters on single parameters",
	"trainable_token_indices": "trained token embeddings",
	"use_bdlora":              "block-diagonal LoRA",
	"use_dora":                "DoRA",
	"use_qalora":              "QALoRA",
	"velora_config":           "VeLoRA",
}

// harmlessInit are the values of init_lora_weights that leave the base's weights
// alone. The others (pissa, olora, corda, loftq, lora_ga ...) subtract something
// from them, which an adapter folder does not hold.
var harmlessInit = map[string]bool{"gaussian": true, "eva": true, "orthogonal": true}

// parseConfig reads an adapter_config.json and refuses, by name, everything that
// this engine would not compute as PEFT does.
func parseConfig(raw []byte) (Config, error) {
	fields := map[string]json.RawMessage{}
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(&fields); err != nil {
		return Config{}, fmt.Errorf("not a JSON object: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return Config{}, errors.New("something follows the JSON object")
	}
	if err := checkFields(fields); err != nil {
		return Config{}, err
	}
	var c Config
	take := func(key string, need bool, dst any) error {
		v, ok := fields[key]
		if !ok || string(v) == "null" {
			if need {
				return fmt.Errorf("%s is missing", key)
			}
			return nil
		}
		if err := json.Unmarshal(v, dst); err != nil {
			return fmt.Errorf("%s is %s; expected a %s", key, short(v), reflect.TypeOf(dst).Elem().Kind())
		}
		return nil
	}
	if err := errors.Join(take("r", true, &c.Rank), take("lora_alpha", true, &c.Alpha),
		take("lora_dropout", false, &c.Dropout), take("use_rslora", false, &c.RSLoRA)); err != nil {
		return Config{}, err
	}
	var err error
	if c.RankPattern, err = parsePatterns("rank_pattern", fields["rank_pattern"]); err != nil {
		return Config{}, err
	}
	if c.AlphaPattern, err = parsePatterns("alpha_pattern", fields["alpha_pattern"]); err != nil {
		return Config{}, err
	}
	names, err := targetModules(fields["target_modules"])
	if err != nil {
		return Config{}, err
	}
	if c.Modules, err = ParseModules(names); err != nil {
		return Config{}, err
	}
	return c, c.Validate()
}

// checkFields refuses fields, in the order of their names.
func checkFields(fields map[string]json.RawMessage) error {
	keys := make([]string, 0, len(fields))
	for k := range fields {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	for _, k := range keys {
		v := fields[k]
		switch k {
		case "r", "lora_alpha", "use_rslora", "target_modules", "rank_pattern", "alpha_pattern":
			continue
		case "peft_type":
			if string(v) != `"LORA"` {
				return fmt.Errorf("peft_type is %s; expected \"LORA\"", short(v))
			}
			continue
		case "task_type":
			if string(v) != `"CAUSAL_LM"` && string(v) != "null" {
				return fmt.Errorf("task_type is %s; expected \"CAUSAL_LM\"", short(v))
			}
			continue
		case "init_lora_weights":
			var name string
			if json.Unmarshal(v, &name) == nil && !harmlessInit[name] {
				return fmt.Errorf("init_lora_weights is %q, which changes the base's weights too; convert the adapter with PEFT's path_initial_model_for_weight_conversion", name)
			}
			continue
		}
		if neutral[k] || off(v) {
			continue
		}
		if what, ok := refused[k]; ok {
			return fmt.Errorf("%s is %s: %s is not supported", k, short(v), what)
		}
		return fmt.Errorf("%s is %s: the field is unknown here and may change what the adapter computes", k, short(v))
	}
	return nil
}

// off reports whether a field is switched off: null, false, "none" or empty.
func off(v json.RawMessage) bool {
	switch string(bytes.Join(bytes.Fields(v), nil)) {
	case "null", "false", "{}", "[]", `""`, `"none"`:
		return true
	}
	return false
}

// targetModules reads the list or the one word; a regular expression is refused.
func targetModules(v json.RawMessage) ([]string, error) {
	if len(v) == 0 || string(v) == "null" {
		return nil, errors.New("target_modules is missing")
	}
	var names []string
	if json.Unmarshal(v, &names) != nil {
		var word string
		if json.Unmarshal(v, &word) != nil || word != "all-linear" {
			return nil, fmt.Errorf("target_modules is %s; expected a list of projections (regular expressions are not supported)", short(v))
		}
		names = []string{word}
	}
	if len(names) == 0 {
		return nil, errors.New("target_modules is empty")
	}
	for i, n := range names {
		last := n[strings.LastIndexByte(n, '.')+1:]
		m, ok := model.ParseModule(last)
		if ok && (n == last || strings.HasSuffix("model.layers.*."+parent(m)+"."+last, "."+n)) {
			names[i] = last
		}
	}
	return names, nil
}

// short quotes a JSON value for an error message.
func short(v json.RawMessage) string {
	if len(v) > 60 {
		return string(v[:60]) + "..."
	}
	return string(v)
}

// configJSON writes adapter_config.json as PEFT reads it: keys sorted, so that
// equal adapters are equal bytes.
func configJSON(c Config, base string) ([]byte, error) {
	names := make([]string, len(c.Modules))
	for i, m := range c.Modules {
		names[i] = m.String()
	}
	var alpha any = c.Alpha
	if c.Alpha == float64(int64(c.Alpha)) {
		alpha = int64(c.Alpha) // PEFT declares lora_alpha as an integer
	}
	fields := map[string]any{
		"base_model_name_or_path": base,
		"bias":                    "none",
		"fan_in_fan_out":          false,
		"inference_mode":          true,
		"init_lora_weights":       true,
		"lora_alpha":              alpha,
		"lora_dropout":            c.Dropout,
		"modules_to_save":         nil,
		"peft_type":               "LORA",
		"r":                       c.Rank,
		"target_modules":          names,
		"task_type":               "CAUSAL_LM",
		"use_rslora":              c.RSLoRA,
	}
	if len(c.RankPattern) > 0 {
		fields["rank_pattern"] = patternsJSON(c.RankPattern)
	}
	if len(c.AlphaPattern) > 0 {
		fields["alpha_pattern"] = patternsJSON(c.AlphaPattern)
	}
	raw, err := json.MarshalIndent(fields, "", "  ")
	return append(raw, '\n'), err
}
