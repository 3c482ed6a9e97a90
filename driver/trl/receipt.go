package trl

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// receiptFile is written last into an environment: one without it is half made.
const receiptFile = "dlm-trainer.json"

// Receipt says what an environment was made of.
type Receipt struct {
	Requirements string            `json:"requirements"` // hash of the pins
	CUDA         string            `json:"cuda"`         // as asked for: "cu128", "cpu"; empty = the index's own choice
	Made         time.Time         `json:"made"`
	With         string            `json:"with"` // "uv", "pip"
	Versions     map[string]string `json:"versions"`
}

// ReadReceipt reads an environment's receipt and checks that its interpreter is
// there still.
func ReadReceipt(dir string) (Receipt, error) {
	var r Receipt
	raw, err := os.ReadFile(filepath.Join(dir, receiptFile))
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return r, fmt.Errorf("%s: %w", filepath.Join(dir, receiptFile), err)
	}
	_, err = os.Stat(interpreter(dir))
	return r, err
}
