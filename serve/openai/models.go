package openai

// ModelList is the body of /v1/models.
type ModelList struct {
	Object string  `json:"object"` // "list"
	Data   []Model `json:"data"`
}

// Model is one of them, with vLLM's fields besides OpenAI's.
type Model struct {
	ID      string   `json:"id"`
	Object  string   `json:"object"` // "model"
	Created int64    `json:"created"`
	OwnedBy string   `json:"owned_by"`
	Root    string   `json:"root"`
	Parent  *string  `json:"parent"`        // an adapter's base
	Context *int     `json:"max_model_len"` // null = not known
	Aliases []string `json:"aliases,omitempty"`
	Adapter string   `json:"adapter,omitempty"` // digest
}
