package main

import (
	"os"
	"path/filepath"

	"dlm/driver/native"
)

// hfFolder returns the base as a folder that Hugging Face's libraries load, for
// engines and trainers that read no GGUF. A base that is such a folder already is
// used as it is; any other is written once into the cache, by digest and dtype
// (bf16, f16 or f32; "" = the precision that the base was opened with).
//
// The weights are those of the base's files: who quantises as he loads, as QLoRA
// does, is to do so himself.
func (a *app) hfFolder(n *native.Native, dtype string) (string, error) {
	if info, err := os.Stat(n.Path()); err == nil && info.IsDir() {
		return filepath.Abs(n.Path())
	}
	if dtype == "" {
		dtype = n.Precision()
	}
	root, err := cacheFolder()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, "folders", n.FileDigest().Hex()[:16]+"-"+dtype)
	if _, err := os.Stat(filepath.Join(dir, "config.json")); err == nil {
		return dir, nil
	}
	a.notef("writing the base as a Hugging Face folder (%s), once: %s", dtype, dir)
	return dir, n.WriteHF(dir, native.FolderOptions{Dtype: dtype})
}

// cacheFolder is $DLM_CACHE, else dlm's part of the user's cache folder.
func cacheFolder() (string, error) {
	if dir := os.Getenv("DLM_CACHE"); dir != "" {
		return filepath.Abs(dir)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "dlm"), nil
}
