package native

import (
	"dlm"
	"dlm/engine/lora"
)

// save writes an adapter's folder with what must travel with it (engine law 7):
// the base's tokenizer and chat template, in the files that Hugging Face's
// libraries read, so that the folder can be used where only the weights are; and
// its probe, by which another engine's answers are known (law 8).
func (n *Native) save(a *lora.Adapter, p dlm.Probe, dir string) error {
	files, err := n.textFiles()
	if err != nil {
		return err
	}
	if files[dlm.ProbeFile], err = p.Marshal(); err != nil {
		return err
	}
	return a.SaveWith(dir, n.id, files)
}

// textFiles are tokenizer and chat template as Hugging Face's libraries read them.
func (n *Native) textFiles() (map[string][]byte, error) {
	tok, config, err := n.tok.JSON()
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{"tokenizer.json": tok, "tokenizer_config.json": config}
	if n.tmpl != nil {
		files["chat_template.jinja"] = []byte(n.tmpl.Source())
	}
	return files, nil
}
