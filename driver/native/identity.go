package native

import (
	"encoding/json"
	"os"
	"path/filepath"

	"dlm/engine/lora"
)

// ErrForeign is wrapped by AdapterIdentity's error when a PEFT folder was not
// made by dlm and is bound to no base yet.
var ErrForeign = lora.ErrForeign

// AdapterIdentity reads what the adapter in dir is bound to, without its base.
func AdapterIdentity(dir string) (lora.BaseIdentity, error) { return lora.ReadIdentity(dir) }

// AdapterBaseName is the base that PEFT's configuration in dir names; empty where
// it names none. It is a name for people: only a hash binds.
func AdapterBaseName(dir string) string {
	raw, err := os.ReadFile(filepath.Join(dir, lora.ConfigFile))
	if err != nil {
		return ""
	}
	var c struct {
		Base string `json:"base_model_name_or_path"`
	}
	if json.Unmarshal(raw, &c) != nil {
		return ""
	}
	return c.Base
}
