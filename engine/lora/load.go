package lora

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"dlm/engine/kernel"
	"dlm/engine/model"
	"dlm/engine/weights"
)

// Load reads the PEFT folder dir for the base m, which is known as id. It fails
// closed: every tensor must bind, every adapted projection must have both
// matrices, shapes must fit, values must be finite, every setting must be one
// that this engine computes as PEFT does, and the folder must name this very
// base, tokenizer, template and stop tokens. The error wraps ErrForeign when the
// folder names no base at all.
func Load(dir string, m *model.Model, id BaseIdentity) (*Adapter, error) {
	return LoadBeside(dir, m, id, m.Exec())
}

// LoadBeside is Load with workers of its own for the packing, so that a base which
// is answering meanwhile goes on.
func LoadBeside(dir string, m *model.Model, id BaseIdentity, x *kernel.Exec) (*Adapter, error) {
	have, err := ReadIdentity(dir)
	if err != nil {
		return nil, missingFolder(dir, err)
	}
	if err := have.check(id); err != nil {
		return nil, fmt.Errorf("adapter %s: %w", dir, err)
	}
	a, err := read(dir, shapeOf(m), x)
	if err != nil {
		return nil, missingFolder(dir, err)
	}
	return a, nil
}

// LoadForeign reads a PEFT folder without asking which base it belongs to, for
// an import on the user's word: all other checks of Load are made.
func LoadForeign(dir string, m *model.Model) (*Adapter, error) {
	a, err := read(dir, shapeOf(m), m.Exec())
	if err != nil {
		return nil, missingFolder(dir, err)
	}
	return a, nil
}

// missingFolder says so when it is the folder itself that is not there.
func missingFolder(dir string, err error) error {
	info, statErr := os.Stat(dir)
	if errors.Is(statErr, fs.ErrNotExist) {
		return fmt.Errorf("adapter folder %s does not exist", dir)
	}
	if statErr == nil && !info.IsDir() {
		return fmt.Errorf("adapter %s is a file; expected a PEFT folder with %s and %s", dir, ConfigFile, WeightsFile)
	}
	return err
}

func read(dir string, s shape, x *kernel.Exec) (*Adapter, error) {
	path := filepath.Join(dir, ConfigFile)
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("adapter %s has no %s; expected a PEFT folder", dir, ConfigFile)
	}
	if err != nil {
		return nil, err
	}
	c, err := parseConfig(raw)
	if err != nil {
		return nil, fmt.Errorf("adapter refused: %s: %w", path, err)
	}
	if err := c.validateFor(s.layers); err != nil {
		return nil, fmt.Errorf("adapter refused: %s: %w", path, err)
	}
	a := alloc(s, c)
	if err := a.readWeights(dir); err != nil {
		return nil, err
	}
	a.Repack(x)
	return a, nil
}

// readWeights fills the masters from the folder's safetensors file.
func (a *Adapter) readWeights(dir string) error {
	path := filepath.Join(dir, WeightsFile)
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, "adapter_model.bin")); err == nil {
			return fmt.Errorf("adapter %s has only adapter_model.bin, a pickle, which can run code when read; save it again as safetensors (PEFT: save_pretrained with safe_serialization=True)", dir)
		}
		return fmt.Errorf("adapter %s has no %s", dir, WeightsFile)
	}
	f, err := weights.OpenSafetensors(path)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := a.bind(f); err != nil {
		return fmt.Errorf("adapter refused: %s: %w", path, err)
	}
	return nil
}

// bind pairs the file's tensors with the adapter's, one to one.
func (a *Adapter) bind(f *weights.Safetensors) error {
	left := map[string]bool{}
	for _, n := range f.Names() {
		left[n] = true
	}
	for _, p := range a.Params() {
		if !left[p.Name] {
			return fmt.Errorf("tensor %s is missing; %s names its projection as adapted", p.Name, ConfigFile)
		}
		delete(left, p.Name)
		t, err := f.Tensor(p.Name)
		if err != nil {
			return err
		}
		if len(t.Shape) != 2 || t.Shape[0] != p.Shape[0] || t.Shape[1] != p.Shape[1] {
			return fmt.Errorf("tensor %s has shape %v; the base and rank %d need %v", p.Name, t.Shape, p.rank(), p.Shape)
		}
		if err := p.fill(t); err != nil {
			return err
		}
	}
	for _, n := range f.Names() {
		if left[n] {
			return fmt.Errorf("tensor %s (and %d more) binds to nothing in this base with target_modules %v and %d layers; the adapter would only be served in part",
				n, len(left)-1, a.cfg.Modules, a.shape.layers)
		}
	}
	return nil
}

// rank is the rank of the tensor's projection.
func (p Param) rank() int {
	if p.Transposed {
		return p.Shape[1]
	}
	return p.Shape[0]
}

// fill copies a file's tensor into the master, transposing B, and refuses NaN
// and infinities.
func (p Param) fill(t *weights.Tensor) error {
	rows, cols := p.Shape[0], p.Shape[1]
	row := make([]float32, cols)
	for r := range rows {
		t.RowF32(r, row)
		for c, v := range row {
			if v != v || math.IsInf(float64(v), 0) {
				return fmt.Errorf("tensor %s holds %v at [%d, %d]; the adapter is damaged or its training diverged", p.Name, v, r, c)
			}
			if p.Transposed {
				p.Value[c*rows+r] = v
			} else {
				p.Value[r*cols+c] = v
			}
		}
	}
	return nil
}
