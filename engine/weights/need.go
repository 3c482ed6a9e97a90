package weights

import (
	"fmt"
	"slices"
	"strings"
)

// need is one tensor that an architecture must have.
type need struct {
	name       string
	rows, cols int
}

// needs lists the tensors of the architecture under Hugging Face names. The
// families share them; biases depend on QKVBias, norms of heads on QKNorm.
func needs(c Config) []need {
	q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	out := []need{{"model.embed_tokens.weight", c.Vocab, c.Hidden}, {"model.norm.weight", 1, c.Hidden}}
	if !c.Tied {
		out = append(out, need{"lm_head.weight", c.Vocab, c.Hidden})
	}
	for l := range c.Layers {
		p := fmt.Sprintf("model.layers.%d.", l)
		out = append(out,
			need{p + "input_layernorm.weight", 1, c.Hidden},
			need{p + "self_attn.q_proj.weight", q, c.Hidden},
			need{p + "self_attn.k_proj.weight", kv, c.Hidden},
			need{p + "self_attn.v_proj.weight", kv, c.Hidden},
			need{p + "self_attn.o_proj.weight", c.Hidden, q},
			need{p + "post_attention_layernorm.weight", 1, c.Hidden},
			need{p + "mlp.gate_proj.weight", c.FFN, c.Hidden},
			need{p + "mlp.up_proj.weight", c.FFN, c.Hidden},
			need{p + "mlp.down_proj.weight", c.Hidden, c.FFN},
		)
		if c.QKVBias {
			out = append(out,
				need{p + "self_attn.q_proj.bias", 1, q},
				need{p + "self_attn.k_proj.bias", 1, kv},
				need{p + "self_attn.v_proj.bias", 1, kv},
			)
		}
		if c.QKNorm {
			out = append(out,
				need{p + "self_attn.q_norm.weight", 1, c.HeadDim},
				need{p + "self_attn.k_norm.weight", 1, c.HeadDim},
			)
		}
	}
	return out
}

// harmless reports whether a tensor that the forward pass does not use may be
// there: rotary tables that follow from the config.
func harmless(name string) bool {
	return name == "rope_freqs.weight" || strings.HasSuffix(name, "rotary_emb.inv_freq")
}

// Validate checks that every tensor the architecture needs is there with the
// right shape and that nothing else is, save what is known to be harmless. Open
// calls it.
func (c *Checkpoint) Validate() error {
	if c.Config.Layers > len(c.tensors) {
		return fmt.Errorf("%s: the config announces %d layers but the file has only %d tensors", c.Path, c.Config.Layers, len(c.tensors))
	}
	used := map[string]bool{}
	var missing []string
	for _, n := range needs(c.Config) {
		used[n.name] = true
		t, ok := c.tensors[n.name]
		if !ok {
			missing = append(missing, n.name)
			continue
		}
		vector := n.rows == 1 && strings.Contains(n.name, "norm") || strings.HasSuffix(n.name, ".bias")
		if t.Rows != n.rows || t.Cols != n.cols || vector != (len(t.Shape) == 1) {
			want := fmt.Sprintf("[%d %d]", n.rows, n.cols)
			if vector {
				want = fmt.Sprintf("[%d]", n.cols)
			}
			return fmt.Errorf("%s: tensor %s has shape %v; the config asks for %s", c.Path, n.name, t.Shape, want)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%s: %d tensors that a %s base needs are missing: %s; the download is incomplete or the config belongs to another base", c.Path, len(missing), c.Config.Arch, few(missing))
	}
	var unused []string
	for name := range c.tensors {
		if !used[name] && !harmless(name) {
			unused = append(unused, name)
		}
	}
	if len(unused) > 0 {
		slices.Sort(unused)
		return fmt.Errorf("%s: %d tensors are not used by a %s base as its config describes it: %s; running without them would give other answers, so it is refused", c.Path, len(unused), c.Config.Arch, few(unused))
	}
	return nil
}

// few joins the first names of a list.
func few(names []string) string {
	if len(names) > 4 {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:4], ", "), len(names)-4)
	}
	return strings.Join(names, ", ")
}
