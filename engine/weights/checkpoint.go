package weights

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Checkpoint is an open base: its config and its tensors under Hugging Face
// names. Methods may be called from several goroutines until Close.
type Checkpoint struct {
	Config Config
	Path   string // as given to Open

	files    []string // what Hash covers, in order
	folder   bool
	maps     []interface{ Close() error }
	tensors  map[string]*Tensor
	vocab    Vocab
	vocabErr error
	template string
	nf4      bool // projections are quantised as they are packed
}

// Open opens a GGUF file, or a folder with config.json and model.safetensors or
// its shards with model.safetensors.index.json, and checks it with Validate.
func Open(path string) (*Checkpoint, error) {
	st, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("base: %w", err)
	}
	c := &Checkpoint{Path: path, tensors: map[string]*Tensor{}, folder: st.IsDir()}
	switch {
	case st.IsDir():
		err = c.openFolder()
	case strings.HasSuffix(path, ".safetensors"):
		err = fmt.Errorf("%s: one safetensors file holds no config; give the folder that it lies in", path)
	default:
		err = c.openGGUF()
	}
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Close unmaps the files. Tensors must not be used afterwards; panels may.
func (c *Checkpoint) Close() error {
	var errs []error
	for _, m := range c.maps {
		errs = append(errs, m.Close())
	}
	c.maps, c.tensors = nil, nil
	return errors.Join(errs...)
}

// release gives a tensor's pages back to the system; they come back from the file
// when touched. Only for mapped files: ordinary memory would be lost.
func (c *Checkpoint) release(t *Tensor) {
	if len(c.maps) > 0 {
		releasePages(t.data)
	}
}

// Tensor returns a tensor by its Hugging Face name, such as
// "model.layers.0.self_attn.q_proj.weight", with rows in Hugging Face order.
func (c *Checkpoint) Tensor(name string) (*Tensor, error) {
	t, ok := c.tensors[name]
	if !ok {
		if c.Config.Tied && name == "lm_head.weight" {
			return nil, fmt.Errorf("%s: the base is tied; its output projection is model.embed_tokens.weight", c.Path)
		}
		return nil, fmt.Errorf("%s: no tensor %q", c.Path, name)
	}
	return t, nil
}

// Names lists the tensors in sorted order.
func (c *Checkpoint) Names() []string {
	names := make([]string, 0, len(c.tensors))
	for n := range c.tensors {
		names = append(names, n)
	}
	slices.Sort(names)
	return names
}

// Vector dequantises a tensor of one dimension: a norm or a bias.
func (c *Checkpoint) Vector(name string) ([]float32, error) {
	t, err := c.Tensor(name)
	if err != nil {
		return nil, err
	}
	if len(t.Shape) != 1 {
		return nil, fmt.Errorf("%s: tensor %s has shape %v; expected one dimension", c.Path, name, t.Shape)
	}
	return t.F32(), nil
}

// ChatTemplate returns the base's own Jinja chat template; empty = it has none.
func (c *Checkpoint) ChatTemplate() string { return c.template }

func (c *Checkpoint) openGGUF() error {
	g, err := OpenGGUF(c.Path)
	if err != nil {
		return err
	}
	c.maps, c.files = append(c.maps, g), []string{c.Path}
	if c.Config, err = configFromGGUF(g); err != nil {
		return fmt.Errorf("%s: %w", c.Path, err)
	}
	for _, name := range g.names {
		t := g.tensors[name]
		hf := hfName(name)
		if _, dup := c.tensors[hf]; dup {
			return fmt.Errorf("%s: tensors %s and another both stand for %s", c.Path, name, hf)
		}
		if c.Config.Arch == "llama" {
			c.unpermute(hf, t)
		}
		t.Name = hf
		c.tensors[hf] = t
	}
	c.vocab, c.vocabErr = ggufVocab(g, c.Config.Vocab)
	c.template, err = ggufTemplate(g)
	return err
}

// unpermute marks query and key projections, whose rows llama.cpp's converter
// interleaves for the llama architecture only.
func (c *Checkpoint) unpermute(name string, t *Tensor) {
	heads := 0
	switch {
	case strings.Contains(name, ".self_attn.q_proj."):
		heads = c.Config.Heads
	case strings.Contains(name, ".self_attn.k_proj."):
		heads = c.Config.KVHeads
	}
	n := t.Rows
	if len(t.Shape) == 1 {
		n = t.Cols
	}
	if heads > 0 && n == heads*c.Config.HeadDim {
		t.heads = heads // wrong shapes are reported by Validate
	}
}

func (c *Checkpoint) openFolder() error {
	raw, err := readSmall(filepath.Join(c.Path, "config.json"))
	if err != nil {
		return fmt.Errorf("base folder without a readable config.json: %w", err)
	}
	if c.Config, err = configFromJSON(raw); err != nil {
		return fmt.Errorf("%s: %w", filepath.Join(c.Path, "config.json"), err)
	}
	if c.Config.Name == "" {
		abs, _ := filepath.Abs(c.Path)
		c.Config.Name = filepath.Base(abs)
	}
	shards, index, err := findShards(c.Path)
	if err != nil {
		return err
	}
	c.files = []string{filepath.Join(c.Path, "config.json")}
	for _, name := range shards {
		if err := c.openShard(name, index); err != nil {
			return err
		}
	}
	for name, file := range index {
		if _, ok := c.tensors[name]; !ok && !harmless(name) {
			return fmt.Errorf("%s: the index says that %s holds %s, but it does not", c.Path, file, name)
		}
	}
	if err := c.dropTiedHead(); err != nil {
		return err
	}
	return c.readTokenizer()
}

// openShard adds the tensors of one safetensors file. With an index every tensor
// must stand in it, with this file.
func (c *Checkpoint) openShard(name string, index map[string]string) error {
	path := filepath.Join(c.Path, name)
	s, err := OpenSafetensors(path)
	if err != nil {
		return err
	}
	c.maps, c.files = append(c.maps, s), append(c.files, path)
	for _, tn := range s.names {
		if index != nil && index[tn] != name {
			return fmt.Errorf("%s: tensor %s is not listed for this file in the index", path, tn)
		}
		if harmless(tn) {
			continue
		}
		if _, dup := c.tensors[tn]; dup {
			return fmt.Errorf("%s: tensor %s is in another shard too", path, tn)
		}
		if c.tensors[tn], err = s.Tensor(tn); err != nil {
			return err
		}
	}
	return nil
}

// dropTiedHead removes the output projection that some folders store beside
// tied embeddings; it must be the same bytes.
func (c *Checkpoint) dropTiedHead() error {
	head, ok := c.tensors["lm_head.weight"]
	if !ok || !c.Config.Tied {
		return nil
	}
	embed, ok := c.tensors["model.embed_tokens.weight"]
	if !ok || embed.Type != head.Type || !bytes.Equal(embed.data, head.data) {
		return fmt.Errorf("%s: config.json says tie_word_embeddings but lm_head.weight differs from model.embed_tokens.weight", c.Path)
	}
	c.release(head)
	delete(c.tensors, "lm_head.weight")
	return nil
}

// findShards returns the safetensors files of a folder and, where it has one,
// the index from tensor to file. As in transformers, model.safetensors comes first.
func findShards(dir string) ([]string, map[string]string, error) {
	if _, err := os.Stat(filepath.Join(dir, "model.safetensors")); err == nil {
		return []string{"model.safetensors"}, nil, nil
	}
	path := filepath.Join(dir, "model.safetensors.index.json")
	raw, err := readSmall(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil, fmt.Errorf("%s: neither model.safetensors nor model.safetensors.index.json is there; expected a GGUF file or a folder with safetensors", dir)
	}
	if err != nil {
		return nil, nil, err
	}
	var idx struct {
		WeightMap json.RawMessage `json:"weight_map"`
	}
	if err := json.Unmarshal(raw, &idx); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", path, err)
	}
	index := map[string]string{}
	err = eachKey(idx.WeightMap, func(name string, raw json.RawMessage) error {
		var file string
		if err := json.Unmarshal(raw, &file); err != nil {
			return fmt.Errorf("%q: %w", name, err)
		}
		if _, dup := index[name]; dup {
			return fmt.Errorf("tensor %q is listed twice", name)
		}
		if file != filepath.Base(file) || !filepath.IsLocal(file) || !strings.HasSuffix(file, ".safetensors") {
			return fmt.Errorf("tensor %q: %q is not the name of a safetensors file in this folder", name, file)
		}
		index[name] = file
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%s: weight_map: %w", path, err)
	}
	if len(index) == 0 {
		return nil, nil, fmt.Errorf("%s: weight_map is empty", path)
	}
	var shards []string
	for _, f := range index {
		if !slices.Contains(shards, f) {
			shards = append(shards, f)
		}
	}
	slices.Sort(shards)
	return shards, index, nil
}
