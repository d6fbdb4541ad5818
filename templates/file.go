package templates

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ReadFile reads a regular file of at most [MaxFileSize] bytes. Pipes and
// devices are refused, because reading them could last for ever.
func ReadFile(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, MaxFileSize+1))
	if err != nil {
		return nil, err
	}
	return content, checkFileSize(content)
}

func checkFileSize(content []byte) error {
	if len(content) > MaxFileSize {
		return fmt.Errorf("it is larger than %d bytes", MaxFileSize)
	}
	return nil
}

// fileResult is what a file gave in this rendering.
type fileResult struct {
	text string
	err  error
}

// file reads a file, once in a rendering.
func (r *renderer) file(path string) fileResult {
	if result, known := r.files[path]; known {
		return result
	}
	read := r.data.ReadFile
	if read == nil {
		read = ReadFile
	}
	content, err := read(path)
	if err == nil {
		err = checkFileSize(content)
	}
	result := fileResult{err: err}
	if err == nil {
		result.text = string(content)
	}
	if r.files == nil {
		r.files = make(map[string]fileResult)
	}
	r.files[path] = result
	return result
}

// reason is the error without the path, which the message names already.
func reason(err error) string {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		return e.Err.Error()
	}
	return err.Error()
}
