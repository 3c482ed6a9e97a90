package curate

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"unicode/utf8"
)

// Container is how rows are written down.
type Container string

// The containers that can be read.
const (
	JSONL Container = "jsonl" // one JSON object a line
	JSON  Container = "json"  // one array of objects
	CSV   Container = "csv"
	TSV   Container = "tsv"
)

// maxLine bounds one row; a longer one is a file of another kind.
const maxLine = 256 << 20

// record is one row before its shape is known.
type record struct {
	line int
	raw  []byte // a JSON object; made from the header for CSV and TSV
	err  *RowError
}

// readRecords calls yield with every record of the file until it returns false.
// Records that cannot be parsed come with err set.
func readRecords(path string, yield func(record) bool) (Container, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return "", &RowError{File: path, Problem: "is a folder", Expected: "a file of rows (JSONL, JSON, CSV or TSV)"}
	}
	return scanRecords(path, f, yield)
}

func scanRecords(path string, in io.Reader, yield func(record) bool) (Container, error) {
	r := bufio.NewReaderSize(in, 1<<16)
	head, _ := r.Peek(4096)
	if c, problem := foreign(head); problem != "" {
		return c, &RowError{File: path, Problem: problem, Expected: "UTF-8 text: JSONL, JSON, CSV or TSV", Next: foreignNext(problem)}
	}
	if bytes.HasPrefix(head, []byte("\xef\xbb\xbf")) {
		if _, err := r.Discard(3); err != nil {
			return "", err
		}
		head, _ = r.Peek(4096)
	}
	switch c := container(path, head); c {
	case JSONL:
		return c, scanJSONL(path, r, yield)
	case JSON:
		return c, scanJSON(path, r, yield)
	default:
		return c, scanCSV(path, r, c, yield)
	}
}

// foreign recognises files that are not UTF-8 text.
func foreign(head []byte) (Container, string) {
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xfe")), bytes.HasPrefix(head, []byte("\xfe\xff")):
		return "", "is UTF-16 text"
	case bytes.HasPrefix(head, []byte("PAR1")):
		return "", "is a Parquet file"
	case bytes.HasPrefix(head, []byte("PK\x03\x04")):
		return "", "is a ZIP or Excel file"
	case bytes.HasPrefix(head, []byte("\x1f\x8b")):
		return "", "is gzip-compressed"
	case bytes.IndexByte(head, 0) >= 0:
		return "", "is a binary file"
	}
	return "", ""
}

func foreignNext(problem string) string {
	switch problem {
	case "is UTF-16 text":
		return "convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW"
	case "is gzip-compressed":
		return "unpack it: gunzip -k FILE"
	}
	return "export the rows as JSONL or CSV"
}

// container goes by the first character that is not blank, then by the name.
func container(path string, head []byte) Container {
	first := bytes.TrimLeft(head, " \t\r\n")
	ext := strings.ToLower(filepath.Ext(path))
	switch {
	case len(first) > 0 && first[0] == '{' && ext != ".csv" && ext != ".tsv":
		if ext == ".json" && !lineIsObject(first) {
			return JSON
		}
		return JSONL
	case len(first) > 0 && first[0] == '[' && ext != ".csv" && ext != ".tsv" && ext != ".jsonl":
		return JSON
	case ext == ".jsonl" || ext == ".ndjson":
		return JSONL
	case ext == ".json":
		return JSON
	case ext == ".tsv":
		return TSV
	}
	line, _, _ := bytes.Cut(head, []byte("\n"))
	if ext != ".csv" && bytes.Count(line, []byte("\t")) > 0 {
		return TSV
	}
	return CSV
}

// lineIsObject says whether the first line alone is a whole object, so that a
// .json file is JSONL under another name.
func lineIsObject(head []byte) bool {
	line, _, ok := bytes.Cut(head, []byte("\n"))
	return json.Valid(line) || !ok && len(head) >= 4096-64
}

func scanJSONL(path string, r *bufio.Reader, yield func(record) bool) error {
	for line := 1; ; line++ {
		raw, err := readLine(r)
		if err != nil && !errors.Is(err, io.EOF) {
			if errors.Is(err, errLongLine) {
				return &RowError{File: path, Line: line, Problem: fmt.Sprintf("is longer than %d MiB", maxLine>>20), Expected: "one JSON object a line", Excerpt: excerpt(raw, 80)}
			}
			return fmt.Errorf("read %s: %w", path, err)
		}
		last := errors.Is(err, io.EOF)
		if t := bytes.TrimSpace(raw); len(t) > 0 {
			if !yield(record{line: line, raw: t, err: checkObject(path, line, t)}) {
				return nil
			}
		}
		if last {
			return nil
		}
	}
}

var errLongLine = errors.New("line too long")

// readLine returns the next line without its end. The slice is the caller's.
func readLine(r *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := r.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return line, errLongLine
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		return bytes.TrimRight(line, "\r\n"), err
	}
}

// checkObject says what is wrong with a line that must be one JSON object.
func checkObject(path string, line int, raw []byte) *RowError {
	e := &RowError{File: path, Line: line, Expected: "one JSON object on one line", Excerpt: excerpt(raw, 100)}
	if i := invalidUTF8(raw); i >= 0 {
		e.Problem, e.Expected = fmt.Sprintf("byte %d is not UTF-8 (0x%02x)", i+1, raw[i]), "UTF-8 text"
		e.Next = "convert the file, for example: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW"
		return e
	}
	if raw[0] != '{' {
		e.Problem, e.Next = "is not a JSON object", "write each row as {...} on a line of its own"
		return e
	}
	if !json.Valid(raw) {
		var v any
		err := json.Unmarshal(raw, &v)
		var syn *json.SyntaxError
		e.Problem = "is not valid JSON"
		if errors.As(err, &syn) {
			e.Problem = fmt.Sprintf("is not valid JSON at byte %d: %s", syn.Offset, strings.TrimPrefix(syn.Error(), "json: "))
			if from := int(syn.Offset) - 40; from > 0 && from < len(raw) {
				e.Excerpt = "... " + excerpt(raw[from:], 100)
			}
		}
		e.Next = "mend or delete this line"
		return e
	}
	return nil
}

func invalidUTF8(b []byte) int {
	for i := 0; i < len(b); {
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// scanJSON reads one array of objects. The file is held in memory: lines are
// counted from it.
func scanJSON(path string, r io.Reader, yield func(record) bool) error {
	all, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if i := invalidUTF8(all); i >= 0 {
		return &RowError{File: path, Line: 1 + bytes.Count(all[:i], []byte("\n")), Problem: fmt.Sprintf("a byte is not UTF-8 (0x%02x)", all[i]), Expected: "UTF-8 text",
			Next: "convert the file, for example: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW"}
	}
	d := json.NewDecoder(bytes.NewReader(all))
	at := func(err error) error {
		off := min(int(d.InputOffset()), len(all))
		for off < len(all) && strings.IndexByte(" \t\r\n,", all[off]) >= 0 {
			off++
		}
		return &RowError{File: path, Line: 1 + bytes.Count(all[:off], []byte("\n")), Problem: "is not valid JSON: " + strings.TrimPrefix(err.Error(), "json: "),
			Expected: "one array of objects", Next: "mend the file near this line", Excerpt: excerpt(bytes.TrimSpace(all[off:]), 100)}
	}
	tok, err := d.Token()
	if err != nil {
		if errors.Is(err, io.EOF) {
			return nil // empty
		}
		return at(err)
	}
	if tok != json.Delim('[') {
		return &RowError{File: path, Line: 1, Problem: "is one JSON object" + arrayKeys(all), Expected: "an array of objects, or one object a line", Next: "save the array of rows alone"}
	}
	pos, line := 0, 1
	for d.More() {
		start := int(d.InputOffset())
		for start < len(all) && strings.IndexByte(" \t\r\n,", all[start]) >= 0 {
			start++
		}
		line += bytes.Count(all[pos:start], []byte("\n"))
		pos = start
		var raw json.RawMessage
		if err := d.Decode(&raw); err != nil {
			return at(err)
		}
		rec := record{line: line, raw: raw}
		if raw[0] != '{' {
			rec.err = &RowError{File: path, Line: line, Problem: "is not a JSON object", Expected: "an array of objects", Excerpt: excerpt(raw, 100)}
		}
		if !yield(rec) {
			return nil
		}
	}
	if _, err := d.Token(); err != nil {
		return at(err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return at(errors.New("something follows the array"))
	}
	return nil
}

// arrayKeys names the members that hold arrays, for the hint.
func arrayKeys(all []byte) string {
	var m map[string]json.RawMessage
	if json.Unmarshal(all, &m) != nil {
		return ""
	}
	var keys []string
	for k, v := range m {
		if v = bytes.TrimSpace(v); len(v) > 0 && v[0] == '[' {
			keys = append(keys, fmt.Sprintf("%q", k))
		}
	}
	if len(keys) == 0 {
		return ""
	}
	slices.Sort(keys)
	return " with arrays under " + strings.Join(keys, ", ")
}

// scanCSV reads a table with a header line.
func scanCSV(path string, r *bufio.Reader, c Container, yield func(record) bool) error {
	all, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, err)
	}
	if i := invalidUTF8(all); i >= 0 {
		return &RowError{File: path, Line: 1 + bytes.Count(all[:i], []byte("\n")), Problem: fmt.Sprintf("a byte is not UTF-8 (0x%02x)", all[i]), Expected: "UTF-8 text",
			Next: "convert the file, for example: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW"}
	}
	if c == TSV && !tsvQuoted(all) {
		return scanPlainTSV(path, all, yield)
	}
	d := csv.NewReader(bytes.NewReader(all))
	d.Comma = delimiter(c, all)
	d.FieldsPerRecord = -1
	var header []string
	for {
		rec, err := d.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		var pe *csv.ParseError
		if errors.As(err, &pe) {
			return &RowError{File: path, Line: pe.StartLine, Problem: fmt.Sprintf("is not valid CSV (line %d, column %d: %v)", pe.Line, pe.Column, pe.Err),
				Expected: `quotes only around whole fields, doubled ("") inside them`, Next: "mend the quotes of this row"}
		}
		if err != nil {
			return fmt.Errorf("read %s: %w", path, err)
		}
		line, _ := d.FieldPos(0)
		if header == nil {
			if header, err = checkHeader(path, line, rec); err != nil {
				return err
			}
			continue
		}
		if !yield(tableRecord(path, line, header, rec)) {
			return nil
		}
	}
}

// scanPlainTSV splits at tabs alone: most TSV files do not quote.
func scanPlainTSV(path string, all []byte, yield func(record) bool) error {
	var header []string
	var err error
	line := 0
	for text := range strings.Lines(string(all)) {
		line++
		text = strings.TrimRight(text, "\r\n")
		if text == "" {
			continue
		}
		rec := strings.Split(text, "\t")
		if header == nil {
			if header, err = checkHeader(path, line, rec); err != nil {
				return err
			}
			continue
		}
		if !yield(tableRecord(path, line, header, rec)) {
			return nil
		}
	}
	return nil
}

// tsvQuoted says whether a TSV file quotes as CSV does: it parses so, and some
// field begins with a quote.
func tsvQuoted(all []byte) bool {
	if !bytes.Contains(all, []byte("\t\"")) && !bytes.Contains(all, []byte("\n\"")) {
		return false
	}
	d := csv.NewReader(bytes.NewReader(all))
	d.Comma = '\t'
	d.ReuseRecord = true
	for {
		if _, err := d.Read(); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// delimiter is a tab for TSV; for CSV what the header uses most.
func delimiter(c Container, all []byte) rune {
	if c == TSV {
		return '\t'
	}
	header, _, _ := bytes.Cut(all, []byte("\n"))
	best, n := ',', bytes.Count(header, []byte(","))
	for _, r := range ";\t|" {
		if k := bytes.Count(header, []byte(string(r))); k > n {
			best, n = r, k
		}
	}
	return best
}

func checkHeader(path string, line int, header []string) ([]string, error) {
	out := make([]string, len(header))
	for i, h := range header {
		out[i] = strings.TrimSpace(h)
		if out[i] == "" {
			out[i] = fmt.Sprintf("column%d", i+1)
		}
		if slices.Contains(out[:i], out[i]) {
			return nil, &RowError{File: path, Line: line, Field: out[i], Problem: "two columns have this name", Expected: "a header line with one name for each column"}
		}
	}
	return out, nil
}

// tableRecord turns a table's row into a JSON object, in the header's order.
func tableRecord(path string, line int, header, rec []string) record {
	if len(rec) != len(header) {
		return record{line: line, err: &RowError{File: path, Line: line, Problem: fmt.Sprintf("has %d columns", len(rec)),
			Expected: fmt.Sprintf("%d, as in the header (%s)", len(header), strings.Join(header, ", ")),
			Next:     "quote the fields that hold the separator", Excerpt: excerpt([]byte(strings.Join(rec, " | ")), 100)}}
	}
	var b bytes.Buffer
	b.WriteByte('{')
	for i, h := range header {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(jsonString(h))
		b.WriteByte(':')
		b.Write(jsonString(rec[i]))
	}
	b.WriteByte('}')
	return record{line: line, raw: b.Bytes()}
}

// jsonString encodes s without escaping <, > and &.
func jsonString(s string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		panic(err) // a string always encodes
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}
