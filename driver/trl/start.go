package trl

import "fmt"

// Interpreters are told to write at once, and to look nothing up on a network:
// all that training needs is in the bundle and the base's folder.
var environment = []string{
	"PYTHONUNBUFFERED=1", "PYTHONNOUSERSITE=1", "TOKENIZERS_PARALLELISM=false", "HF_HUB_OFFLINE=1", "TRANSFORMERS_OFFLINE=1", "HF_HUB_DISABLE_TELEMETRY=1",
}

// start is the command that starts the program in a bundle's folder, but for the
// folder itself.
func (t *TRL) start() []string {
	cmd, err := launch(t.o.Python, t.o.Launcher, t.o.Processes, t.o.Device.cuda())
	if err != nil {
		panic(err) // New has checked it
	}
	return append(cmd, ProgramFile)
}

// env is what a place adds to the program's environment.
func (t *TRL) env() []string {
	if t.o.Threads > 0 {
		return append([]string{fmt.Sprintf("OMP_NUM_THREADS=%d", t.o.Threads)}, environment...)
	}
	return environment
}
