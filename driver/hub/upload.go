package hub

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"dlm"
)

// Large files go to a store beside the Hub, by git LFS's batch interface:
//
//	POST {repo}.git/info/lfs/objects/batch   {"objects": [{"oid", "size", "actions": {"upload", "verify"}}]};
//	                                         no actions = the store has it; "error" = it will not take it
//	PUT  upload.href                         the whole file (basic), or
//	PUT  upload.header["1"], ["2"] ...       chunk_size bytes each (multipart), whose ETags go with
//	POST upload.href                         {"oid", "parts": [{"partNumber", "etag"}]}
//	POST verify.href                         {"oid", "size"}, with the token
//
// The addresses are signed and go out without the token. Those of a multipart
// upload are kept on disk with the ETags of the parts that are through, so that
// another process can go on (resume.go); when the store refuses them, because
// they have run out, the batch is asked anew.

const lfsType = "application/vnd.git-lfs+json"

// lfsAction is an address with headers.
type lfsAction struct {
	Href   string            `json:"href"`
	Header map[string]string `json:"header"`
}

// lfsObject is the batch's answer about one file.
type lfsObject struct {
	Oid     string `json:"oid"`
	Size    int64  `json:"size"`
	Actions *struct {
		Upload *lfsAction `json:"upload"`
		Verify *lfsAction `json:"verify"`
	} `json:"actions"`
	Error *struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"error"`
}

// maxParts bounds what one file may be cut into.
const maxParts = 10_000

// renewals bounds how often the addresses of one file are asked for.
const renewals = 3

// errExpired is a store that no longer takes what it was announced.
var errExpired = errors.New("the store no longer takes this upload")

// sendLarge uploads the large files that are not there yet, and returns the bytes
// that went out.
func (h *Hub) sendLarge(ctx context.Context, r Ref, files []*outgoing, progress dlm.PullProgress) (int64, error) {
	var sent int64
	for _, f := range files {
		if !f.large || f.same {
			continue
		}
		n, err := h.sendOne(ctx, r, f, progress)
		sent += n
		if err != nil {
			return sent, err
		}
	}
	return sent, nil
}

// sendOne uploads one file: goes on with what an earlier push left, else asks
// where it is to go.
func (h *Hub) sendOne(ctx context.Context, r Ref, f *outgoing, progress dlm.PullProgress) (sent int64, err error) {
	u := &upload{h: h, r: r, f: f, progress: progress}
	u.state = h.recallUpload(r, f)
	for try := 0; try < renewals; try++ {
		if u.state == nil {
			there, err := u.begin(ctx)
			if err != nil || there {
				if there {
					progress(f.path, f.size, f.size)
				}
				return u.sent.Load(), err
			}
		} else if n := len(u.state.ETags); n > 0 {
			h.note(fmt.Sprintf("%s: %d of %d parts went up before; going on", f.path, n, len(u.state.Parts)))
		}
		err = u.transfer(ctx)
		if !errors.Is(err, errExpired) {
			break
		}
		h.note(fmt.Sprintf("%s: %v; asking where it is to go now, from its beginning", f.path, err))
		u.state = nil
		h.forgetUpload(r, f)
	}
	if err == nil {
		h.forgetUpload(r, f)
	}
	return u.sent.Load(), u.kept(err)
}

// kept adds to an error what the next push can go on from.
func (u *upload) kept(err error) error {
	if err == nil || u.state == nil || len(u.state.ETags) == 0 || !outOfReach(err) {
		return err
	}
	return fmt.Errorf("%w; %d of %d parts of %s are there, push again to go on from them", err, len(u.state.ETags), len(u.state.Parts), u.f.path)
}

// begin asks the batch interface; there says that the store has the file.
func (u *upload) begin(ctx context.Context) (there bool, err error) {
	ask := map[string]any{
		"operation": "upload", "transfers": []string{"basic", "multipart"}, "hash_algo": "sha256",
		"objects": []map[string]any{{"oid": u.f.sha256, "size": u.f.size}},
		"ref":     map[string]string{"name": u.r.Revision},
	}
	var raw json.RawMessage
	at := u.h.opt.Endpoint + "/" + u.r.Repo + ".git/info/lfs/objects/batch"
	if err := u.h.post(ctx, u.r, posting{url: at, kind: lfsType, headers: []string{"Accept", lfsType}, body: encode(ask), into: &raw}); err != nil {
		return false, err
	}
	o, err := parseBatch(raw, u.f.sha256, u.f.size)
	if err != nil {
		return false, fmt.Errorf("%s: %w", u.f.path, err)
	}
	if o.Actions == nil || o.Actions.Upload == nil {
		return true, nil
	}
	u.state, err = u.h.newUploadState(u.r, u.f, o)
	if err != nil {
		return false, fmt.Errorf("%s: %w", u.f.path, err)
	}
	return false, u.h.keepUpload(u.state)
}

// parseBatch reads the batch's answer about one file.
func parseBatch(raw []byte, oid string, size int64) (lfsObject, error) {
	var batch struct {
		Objects []lfsObject `json:"objects"`
	}
	if json.Unmarshal(raw, &batch) != nil {
		return lfsObject{}, &answerError{msg: "the Hub's answer about the upload is not what git LFS has"}
	}
	for _, o := range batch.Objects {
		if o.Oid != oid {
			continue
		}
		if o.Error != nil {
			said := oneLine(o.Error.Message)
			return o, &answerError{status: o.Error.Code, said: said, msg: fmt.Sprintf("the Hub does not take the file: %s (%d)", said, o.Error.Code)}
		}
		if o.Size != size {
			return o, &answerError{msg: fmt.Sprintf("the Hub answers about %d bytes, the file has %d", o.Size, size)}
		}
		return o, nil
	}
	return lfsObject{}, &answerError{msg: "the Hub does not answer about the file that is to go up"}
}

// partsOf reads the addresses of a multipart upload, nil for one in one piece.
func partsOf(a *lfsAction, size int64) (chunk int64, parts []string, err error) {
	text, multi := a.Header["chunk_size"]
	if !multi {
		return 0, nil, nil
	}
	chunk, err = strconv.ParseInt(text, 10, 64)
	if err != nil || chunk <= 0 {
		return 0, nil, &answerError{msg: fmt.Sprintf("the Hub wants parts of %q bytes", oneLine(text))}
	}
	n := (size-1)/chunk + 1
	if size <= 0 || n > maxParts {
		return 0, nil, &answerError{msg: fmt.Sprintf("the Hub wants %d bytes in parts of %d", size, chunk)}
	}
	given := 0
	parts = make([]string, n)
	for k, v := range a.Header {
		i, err := strconv.ParseInt(k, 10, 64)
		if err != nil {
			continue // not a part
		}
		if i < 1 || i > n || parts[i-1] != "" || v == "" {
			return 0, nil, &answerError{msg: fmt.Sprintf("the Hub gives an address for part %s of %d", oneLine(k), n)}
		}
		parts[i-1] = v
		given++
	}
	if int64(given) != n {
		return 0, nil, &answerError{msg: fmt.Sprintf("the Hub gives addresses for %d of %d parts", given, n)}
	}
	return chunk, parts, nil
}

// address checks an address that the Hub gave: http or https, and no step down
// to http. That of the public Hub in a mirror's answer is the mirror's.
func (h *Hub) address(s string) (string, error) {
	if rest, ok := strings.CutPrefix(s, publicHub+"/"); ok && h.opt.Endpoint != publicHub {
		s = h.opt.Endpoint + "/" + rest
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && u.Scheme != "http" {
		return "", &answerError{msg: "the Hub gives an address for the upload that is none"}
	}
	if u.Scheme == "http" && strings.HasPrefix(h.opt.Endpoint, "https:") {
		return "", &answerError{msg: fmt.Sprintf("refused to upload to %s without TLS, as the Hub asks", u.Host)}
	}
	return s, nil
}

// finish tells the store that all parts are there.
func (u *upload) finish(ctx context.Context) error {
	type part struct {
		Number int    `json:"partNumber"`
		ETag   string `json:"etag"`
	}
	var done struct {
		Oid   string `json:"oid"`
		Parts []part `json:"parts"`
	}
	done.Oid = u.f.sha256
	for i := range u.state.Parts {
		done.Parts = append(done.Parts, part{i + 1, u.state.ETags[i+1]})
	}
	err := u.h.post(ctx, u.r, posting{url: u.state.Href, kind: lfsType, headers: []string{"Accept", lfsType}, body: encode(done), bare: true})
	var a *answerError
	if errors.As(err, &a) && (a.status == http.StatusNotFound || a.status == http.StatusForbidden || a.status == http.StatusBadRequest || a.status == http.StatusGone) && !quotaWords.MatchString(a.said) {
		return fmt.Errorf("%w (%d%s)", errExpired, a.status, colon(a.said))
	}
	return err
}

// verify asks the Hub whether the file arrived.
func (u *upload) verify(ctx context.Context) error {
	if u.state.Verify == "" {
		return nil
	}
	err := u.h.post(ctx, u.r, posting{url: u.state.Verify, kind: lfsType, headers: []string{"Accept", lfsType}, body: encode(map[string]any{"oid": u.f.sha256, "size": u.f.size})})
	var a *answerError
	if errors.As(err, &a) && a.status == http.StatusNotFound {
		return fmt.Errorf("%w (the Hub does not find it%s)", errExpired, colon(a.said))
	}
	return err
}
