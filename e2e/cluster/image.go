package main

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// image is a container image of one static program.
type image struct{ name, program string }

// runImage writes an image of a program of somebody else's.
func runImage(args []string) error {
	if len(args) != 3 {
		return usageError{errors.New("image needs a name, a static program and the file to write")}
	}
	return image{args[0], args[1]}.write(args[2], filepath.Base(args[1]))
}

// write makes a file of docker-archive format that holds the image: one layer,
// one program at /NAME, which is its entrypoint.
func (i image) write(path, entry string) error {
	layer, err := i.layer(entry)
	if err != nil {
		return fmt.Errorf("cannot make image %s: %w", i.name, err)
	}
	config, err := json.Marshal(map[string]any{
		"architecture": runtime.GOARCH, "os": "linux",
		"config": map[string]any{"Entrypoint": []string{"/" + entry}, "Env": []string{"PATH=/"}},
		"rootfs": map[string]any{"type": "layers", "diff_ids": []string{"sha256:" + digest(layer)}},
	})
	if err != nil {
		return fmt.Errorf("cannot make image %s: %w", i.name, err)
	}
	manifest, err := json.Marshal([]map[string]any{{"Config": digest(config) + ".json", "RepoTags": []string{i.name}, "Layers": []string{"layer.tar"}}})
	if err != nil {
		return fmt.Errorf("cannot make image %s: %w", i.name, err)
	}
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("cannot make image %s: %w", i.name, err)
	}
	defer file.Close()
	archive := tar.NewWriter(file)
	for _, part := range []struct {
		name    string
		content []byte
	}{{digest(config) + ".json", config}, {"layer.tar", layer}, {"manifest.json", manifest}} {
		if err := addFile(archive, part.name, 0o644, int64(len(part.content)), bytes.NewReader(part.content)); err != nil {
			return fmt.Errorf("cannot make image %s: %w", i.name, err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("cannot make image %s: %w", i.name, err)
	}
	return nil
}

func (i image) layer(entry string) ([]byte, error) {
	program, err := os.Open(i.program)
	if err != nil {
		return nil, err
	}
	defer program.Close()
	info, err := program.Stat()
	if err != nil {
		return nil, err
	}
	var layer bytes.Buffer
	archive := tar.NewWriter(&layer)
	if err := addFile(archive, entry, 0o755, info.Size(), program); err != nil {
		return nil, err
	}
	return layer.Bytes(), archive.Close()
}

// addFile leaves the time out, so that the same program gives the same image.
func addFile(archive *tar.Writer, name string, mode, size int64, content io.Reader) error {
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: size, Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	_, err := io.Copy(archive, content)
	return err
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}
