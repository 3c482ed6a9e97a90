package main

// pullCmd gets a base model.
type pullCmd struct {
	Ref string `arg:"" help:"smollm2-135m-instruct, hf:owner/name[@revision][:file.gguf], a GGUF file, or a safetensors folder."`
}

func (c *pullCmd) Run(a *app) error {
	m, err := a.pull(c.Ref)
	if err != nil {
		return err
	}
	a.finish(m, func() {
		a.printf("%s\n  from    %s\n  path    %s\n  digest  %s\nnext: dlm generate --base %s --user \"Hello\"\n", m.Ref, m.Source, m.Path, m.Digest, m.Ref)
	})
	return nil
}
