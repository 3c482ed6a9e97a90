package hub

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

const publicHub = "https://huggingface.co"

// endpoint returns the Hub's base address without a slash at its end.
func endpoint(given string) (string, error) {
	from := "endpoint"
	if given == "" {
		given, from = os.Getenv("HF_ENDPOINT"), "HF_ENDPOINT"
	}
	if given == "" {
		given = publicHub
	}
	u, err := url.Parse(given)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" {
		return "", fmt.Errorf("%s is not an http or https address of a Hub; expected something like %s", from, publicHub)
	}
	return strings.TrimRight(given, "/"), nil
}

// tokenFromEnv finds the access token where the Hugging Face client looks for
// it, and says where that was; empty where there is none.
func tokenFromEnv() (token, from string) {
	for _, name := range []string{"HF_TOKEN", "HUGGING_FACE_HUB_TOKEN"} {
		if t := clean(os.Getenv(name)); t != "" {
			return t, name
		}
	}
	path := os.Getenv("HF_TOKEN_PATH")
	if path == "" {
		path = filepath.Join(hfHome(), "token")
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return "", ""
	}
	return clean(string(raw)), path
}

// hfHome is the Hugging Face client's own folder.
func hfHome() string {
	if dir := os.Getenv("HF_HOME"); dir != "" {
		return dir
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "huggingface")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "huggingface"
	}
	return filepath.Join(home, ".cache", "huggingface")
}

func clean(token string) string {
	return strings.TrimSpace(strings.NewReplacer("\r", "", "\n", "").Replace(token))
}

// truthy reads a switch as the Hugging Face client does.
func truthy(s string) bool {
	switch strings.ToUpper(s) {
	case "1", "ON", "YES", "TRUE":
		return true
	}
	return false
}
