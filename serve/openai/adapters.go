package openai

import "strings"

// LoadRequest is the body of vLLM's load_lora_adapter.
type LoadRequest struct {
	Name string `json:"lora_name"`
	Path string `json:"lora_path"` // folder on the server's disk
}

// UnloadRequest is the body of vLLM's unload_lora_adapter.
type UnloadRequest struct {
	Name string `json:"lora_name"`
}

var (
	loadFields   = fields{use: []string{"lora_name", "lora_path"}, neutral: map[string][]string{"base_model_name": {}, "load_inplace": {"false"}, "is_3d_lora_weight": {"false"}}}
	unloadFields = fields{use: []string{"lora_name"}, ignore: []string{"lora_int_id"}}
)

// DecodeLoad reads a [LoadRequest].
func DecodeLoad(body []byte) (*LoadRequest, error) {
	r := &LoadRequest{}
	if err := loadFields.decode(body, r); err != nil {
		return nil, err
	}
	if r.Path == "" {
		return nil, refused("lora_path", "lora_path is missing: the adapter's folder on the server's disk")
	}
	return r, adapterName(r.Name)
}

// DecodeUnload reads an [UnloadRequest].
func DecodeUnload(body []byte) (*UnloadRequest, error) {
	r := &UnloadRequest{}
	if err := unloadFields.decode(body, r); err != nil {
		return nil, err
	}
	return r, adapterName(r.Name)
}

// adapterName refuses what could not be asked for, or would mean an alias.
func adapterName(s string) error {
	switch {
	case s == "":
		return refused("lora_name", "lora_name is missing")
	case len(s) > 256 || strings.ContainsAny(s, "@\x00\r\n"):
		return refused("lora_name", "lora_name %s: expected a name of at most 256 bytes without @ and line ends", quote(s))
	}
	return nil
}
