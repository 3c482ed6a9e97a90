package trl

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// RayOptions say which cluster. Its jobs server is asked over HTTP, as the command
// "ray job submit" does, so that nothing of Ray is needed on this machine.
type RayOptions struct {
	Address string  // of the dashboard: http://head:8265; empty = RAY_API_SERVER_ADDRESS, else http://127.0.0.1:8265
	Dir     string  // folder that this machine and the cluster share, at one path; empty = the bundle's own folder is shared
	GPUs    float64 // asked for; 0 = none
	CPUs    float64 // asked for; 0 = as the cluster is set up

	Patience time.Duration // how long a lost connection is tried again; 0 = 15 min
	Note     func(string)  // tells the user; may be nil
}

// Ray runs the program as a job of a Ray cluster. Bundle and base lie in a folder
// that both sides see, as Ray's own training needs for its checkpoints: events and
// checkpoints are read and written there, and the cluster is asked only to start
// and end the job, and whether it runs.
type Ray struct {
	o      RayOptions
	files  files
	client *http.Client

	job   string    // submission id of the newest attempt; empty = not looked up
	state rayJob    // of job
	asked time.Time // when state was asked for
}

var _ Place = (*Ray)(nil)

// rayJob is what the jobs server says of a job.
type rayJob struct {
	ID      string `json:"submission_id"`
	Status  string `json:"status"` // PENDING, RUNNING, SUCCEEDED, FAILED, STOPPED
	Message string `json:"message"`
}

// alive says whether the job runs or will.
func (j rayJob) alive() bool { return j.Status == "PENDING" || j.Status == "RUNNING" }

// NewRay checks the options. It connects when it is first needed.
func NewRay(o RayOptions) (*Ray, error) {
	o.Address = strings.TrimRight(cmp.Or(o.Address, os.Getenv("RAY_API_SERVER_ADDRESS"), "http://127.0.0.1:8265"), "/")
	if u, err := url.Parse(o.Address); err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("trl.address is %q; expected the address of the Ray dashboard, such as http://head:8265", o.Address)
	}
	if o.Dir != "" && !filepath.IsAbs(o.Dir) {
		return nil, fmt.Errorf("trl.dir is %q; expected the whole path of a folder that the cluster sees at the same path", o.Dir)
	}
	if o.Patience <= 0 {
		o.Patience = 15 * time.Minute
	}
	return &Ray{o: o, files: files{dir: o.Dir, note: o.Note}, client: &http.Client{Timeout: 60 * time.Second}}, nil
}

// Name is "ray http://head:8265".
func (r *Ray) Name() string { return "ray " + r.o.Address }

// prefix is what the submission ids of a bundle's job begin with; an attempt's
// number follows.
func (r *Ray) prefix(b Bundle) string { return "dlm-" + jobID(b) + "-" }

// find looks up the newest attempt of the job.
func (r *Ray) find(ctx context.Context, b Bundle) (attempt int, err error) {
	r.job, r.state = "", rayJob{}
	var list []rayJob
	if err := r.call(ctx, http.MethodGet, "/api/jobs/", nil, &list); err != nil {
		return 0, err
	}
	r.asked = time.Now()
	for _, j := range list {
		if n, err := strconv.Atoi(strings.TrimPrefix(j.ID, r.prefix(b))); err == nil && strings.HasPrefix(j.ID, r.prefix(b)) && n > attempt {
			attempt, r.job, r.state = n, j.ID, j
		}
	}
	return attempt, nil
}

// Begin lays base and bundle into the shared folder and submits the job, or finds
// that an earlier attempt waits or runs.
func (r *Ray) Begin(ctx context.Context, b Bundle) (Begun, error) {
	attempt, err := r.find(ctx, b)
	if err != nil {
		return Begun{}, err
	}
	if r.job != "" && r.state.alive() {
		return Begun{Attached: true}, nil
	}
	there, err := r.files.lay(ctx, b)
	if err != nil {
		return Begun{}, fmt.Errorf("laying the job into %s: %w", r.o.Dir, err)
	}
	if err := there.clear(); err != nil {
		return Begun{}, err
	}
	env := map[string]string{}
	for _, v := range b.Env {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	r.job = r.prefix(b) + strconv.Itoa(attempt+1)
	submit := map[string]any{
		"submission_id": r.job, "entrypoint": rayCommand(b.Start, there.Dir), "runtime_env": map[string]any{"env_vars": env},
		"metadata": map[string]string{"made_by": "dlm", "method": b.Job.Method},
	}
	if r.o.GPUs > 0 {
		submit["entrypoint_num_gpus"] = r.o.GPUs
	}
	if r.o.CPUs > 0 {
		submit["entrypoint_num_cpus"] = r.o.CPUs
	}
	if err := r.call(ctx, http.MethodPost, "/api/jobs/", submit, nil); err != nil {
		return Begun{}, fmt.Errorf("submitting the job: %w", err)
	}
	r.state, r.asked = rayJob{ID: r.job, Status: "PENDING"}, time.Now()
	_ = writeJSON(b.Path(PlaceFile), map[string]string{"where": r.Name(), "folder": there.Dir, "job": r.job}) // for people
	return Begun{Note: fmt.Sprintf("Ray job %s: it starts when the cluster has room", r.job)}, nil
}

// rayCommand is the job's shell command. What the program says goes to the
// bundle's log; the job's own log says where that is, or that the folder is not seen.
func rayCommand(start []string, dir string) string {
	words := make([]string, 0, len(start)+1)
	for _, w := range append(start[:len(start):len(start)], dir) {
		words = append(words, remoteQuote(w))
	}
	q := remoteQuote(dir)
	return fmt.Sprintf("cd %s || { echo 'the shared folder of the job is not there on this node: trl.dir must be one that the whole cluster sees'; exit 72; }; echo its log: %s/%s; exec %s > %s 2>&1 < /dev/null",
		q, q, LogFile, strings.Join(words, " "), LogFile)
}

// Poll reads the events in the shared folder.
func (r *Ray) Poll(ctx context.Context, b Bundle, offset int64) ([]byte, bool, error) {
	if !strings.HasPrefix(r.job, r.prefix(b)) {
		if _, err := r.find(ctx, b); err != nil {
			return nil, false, err
		}
	}
	const fresh = time.Second // how long an answer "it runs" is believed
	if r.job != "" && r.state.alive() && time.Since(r.asked) > fresh {
		if err := r.look(ctx); err != nil {
			return nil, false, err
		}
	}
	raw, err := r.files.at(b).read(EventsFile, offset)
	return raw, r.job != "" && r.state.alive(), err
}

// look asks for the job's state.
func (r *Ray) look(ctx context.Context) error {
	var s rayJob
	if err := r.call(ctx, http.MethodGet, "/api/jobs/"+url.PathEscape(r.job), nil, &s); err != nil {
		return err
	}
	r.state, r.asked = s, time.Now()
	return nil
}

// Put writes a file of the bundle in the shared folder.
func (r *Ray) Put(_ context.Context, b Bundle, name string, data []byte) error {
	return r.files.at(b).put(name, data)
}

// Fetch copies out/ back, where the shared folder is not the bundle's own.
func (r *Ray) Fetch(_ context.Context, b Bundle) error { return r.files.fetch(b) }

// LastWords returns the end of the log in the shared folder; where the program did
// not come as far as to write one, what Ray itself says.
func (r *Ray) LastWords(ctx context.Context, b Bundle) (text, ended string, err error) {
	raw, err := r.files.at(b).tail(LogFile, logTail)
	if err != nil {
		return "", "", err
	}
	ended, _, _ = strings.Cut(r.state.Message, "\n")
	if len(bytes.TrimSpace(raw)) == 0 && r.job != "" {
		var l struct{ Logs string }
		if err := r.call(ctx, http.MethodGet, "/api/jobs/"+url.PathEscape(r.job)+"/logs", nil, &l); err != nil {
			return "", ended, err
		}
		raw = []byte(l.Logs)
		raw = raw[max(0, len(raw)-logTail):]
	}
	return string(raw), ended, nil
}

// Kill stops the job, and waits until Ray says that it ended.
func (r *Ray) Kill(ctx context.Context, b Bundle) error {
	if _, err := r.find(ctx, b); err != nil {
		return err
	}
	if r.job == "" || !r.state.alive() {
		return nil
	}
	if err := r.call(ctx, http.MethodPost, "/api/jobs/"+url.PathEscape(r.job)+"/stop", nil, nil); err != nil {
		return err
	}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); {
		if err := r.look(ctx); err != nil || !r.state.alive() {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	return fmt.Errorf("Ray job %s does not end; stop it on %s", r.job, r.o.Address)
}

// call asks the jobs server, again for a while where it cannot be reached after it
// was once.
func (r *Ray) call(ctx context.Context, method, path string, body, out any) error {
	var raw []byte
	if body != nil {
		var err error
		if raw, err = json.Marshal(body); err != nil {
			return err
		}
	}
	wait, since := 250*time.Millisecond, time.Time{}
	for {
		err := r.once(ctx, method, path, raw, out)
		var said *rayRefusal
		if err == nil && !since.IsZero() {
			r.files.say(fmt.Sprintf("%s answers again after %s", r.Name(), time.Since(since).Round(time.Second)))
		}
		if err == nil || errors.As(err, &said) || ctx.Err() != nil {
			return err
		}
		if r.asked.IsZero() {
			return fmt.Errorf("the Ray cluster cannot be reached: %w; is the dashboard of its head node at %s (trl.address)?", err, r.o.Address)
		}
		if since.IsZero() {
			since = time.Now()
			r.files.say(fmt.Sprintf("%s does not answer (%v): trying again for %s; the training goes on there", r.Name(), err, r.o.Patience))
		}
		if time.Since(since) > r.o.Patience {
			return fmt.Errorf("the Ray cluster does not answer since %s: %w; the same command attaches to the job", r.o.Patience, err)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(wait):
		}
		wait = min(2*wait, 30*time.Second)
	}
}

// rayRefusal is an answer that is no success.
type rayRefusal struct {
	status string
	text   string
}

func (r *rayRefusal) Error() string {
	lines := strings.Split(strings.TrimSpace(r.text), "\n")
	return "Ray says " + r.status + ": " + lines[len(lines)-1] // of a Python traceback, the exception
}

// once makes one request.
func (r *Ray) once(ctx context.Context, method, path string, body []byte, out any) error {
	req, err := http.NewRequestWithContext(ctx, method, r.o.Address+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	if err := rayHeaders(req.Header); err != nil {
		return &rayRefusal{"nothing yet", err.Error()}
	}
	res, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	const most = 64 << 20 // a long job list or log
	raw, err := io.ReadAll(io.LimitReader(res.Body, most))
	switch {
	case err != nil:
		return err
	case res.StatusCode == http.StatusBadGateway || res.StatusCode == http.StatusServiceUnavailable:
		return fmt.Errorf("%s", res.Status)
	case res.StatusCode/100 != 2:
		return &rayRefusal{res.Status, string(raw)}
	case out == nil:
		return nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return &rayRefusal{res.Status, fmt.Sprintf("an answer that cannot be read (%v): is that the address of a Ray dashboard?", err)}
	}
	return nil
}

// rayHeaders adds what Ray's own command takes from the environment for clusters
// behind a login.
func rayHeaders(h http.Header) error {
	h.Set("Content-Type", "application/json")
	if token := os.Getenv("RAY_AUTH_TOKEN"); token != "" {
		h.Set("Authorization", "Bearer "+token)
	}
	if text := os.Getenv("RAY_JOB_HEADERS"); text != "" {
		var more map[string]string
		if err := json.Unmarshal([]byte(text), &more); err != nil {
			return fmt.Errorf("RAY_JOB_HEADERS: %w; expected an object such as {\"Authorization\": \"Bearer ...\"}", err)
		}
		for k, v := range more {
			h.Set(k, v)
		}
	}
	return nil
}
