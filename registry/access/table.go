package access

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// The bounds of a file of tokens.
const (
	maxFile     = 4 << 20 // in bytes
	maxRules    = 64      // of one token
	maxMistakes = 20      // that are told one by one
)

// errEmpty is what is wrong with a file that would lock everybody out: one that
// is being written, more often than not.
var errEmpty = errors.New("there is no token in it; cleatd token new adds one")

// table is what a file of tokens says.
type table struct {
	lines        []Line
	tokens       map[digest]*holder
	certificates map[string]*holder
	anonymous    *holder // nil: who shows no token may do nothing
}

// ReadFile returns the lines of a file of tokens. The error joins everything
// that is wrong, with line numbers.
func ReadFile(path string) ([]Line, error) {
	t, err := read(path)
	if err != nil {
		return nil, err
	}
	return t.lines, nil
}

// read reads a file of tokens.
func read(path string) (*table, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	switch {
	case err != nil:
		return nil, err
	case len(data) > maxFile:
		return nil, fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	}
	t, err := parse(data)
	if err == nil && len(t.lines) == 0 {
		err = errEmpty
	}
	if err == nil {
		return t, nil
	}
	joined, many := err.(interface{ Unwrap() []error })
	if !many {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	var errs []error
	for _, err := range joined.Unwrap() {
		errs = append(errs, fmt.Errorf("%s: %w", path, err))
	}
	return nil, errors.Join(errs...)
}

// parse reads what a file of tokens says; a file that says nothing is good. The
// error joins everything that is wrong, up to [maxMistakes].
func parse(data []byte) (*table, error) {
	t := &table{tokens: make(map[digest]*holder), certificates: make(map[string]*holder)}
	names := make(map[string]named)
	var errs []error
	scanner := bufio.NewScanner(bytes.NewReader(data))
	scanner.Buffer(nil, maxLine)
	n := 0
	for scanner.Scan() {
		n++
		fields := strings.Fields(uncommented(scanner.Text()))
		if len(fields) == 0 {
			continue
		}
		l, err := parseLine(fields)
		if err == nil {
			err = t.add(l, names, n)
		}
		if err == nil {
			continue
		}
		if errs = append(errs, fmt.Errorf("line %d: %w", n, oneLine(err))); len(errs) == maxMistakes {
			return nil, errors.Join(append(errs, errors.New("there may be more mistakes"))...)
		}
	}
	if scanner.Err() != nil {
		errs = append(errs, fmt.Errorf("line %d: it is longer than %d bytes", n+1, maxLine))
	}
	if len(errs) > 0 {
		return nil, errors.Join(errs...)
	}
	return t, nil
}

// named is the first line of a name.
type named struct {
	line   Line
	number int
	holder *holder
}

// add adds a line to what is said.
func (t *table) add(l Line, names map[string]named, number int) error {
	first, known := names[l.Name]
	switch {
	case known && !first.line.sameHolder(l):
		return fmt.Errorf("the name %q is that of another token in line %d; give each token a name of its own", l.Name, first.number)
	case known && len(first.holder.rules) >= maxRules:
		return fmt.Errorf("the token %q has more than %d lines", l.Name, maxRules)
	case known:
		first.holder.rules = append(first.holder.rules, l.rule())
		t.lines = append(t.lines, l)
		return nil
	}
	h := &holder{name: l.Name, token: l.token, certificate: l.certificate, rules: []rule{l.rule()}}
	switch {
	case l.Name == anonymous:
		h.name = ""
		t.anonymous = h
	case l.certificate != "":
		if other := t.certificates[l.certificate]; other != nil {
			return fmt.Errorf("the certificate has the name %q already", other.name)
		}
		t.certificates[l.certificate] = h
	default:
		if other := t.tokens[l.token]; other != nil {
			return fmt.Errorf("the token has the name %q already", other.name)
		}
		t.tokens[l.token] = h
	}
	names[l.Name] = named{l, number, h}
	t.lines = append(t.lines, l)
	return nil
}

// Add returns the text of a file of tokens with one line more.
func Add(file []byte, l Line) ([]byte, error) {
	t, err := parse(file)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(t.lines, func(other Line) bool { return other.Name == l.Name }) {
		return nil, fmt.Errorf("there is a token %q already; remove it first, or choose another name", l.Name)
	}
	if len(file) > 0 && file[len(file)-1] != '\n' {
		file = append(slices.Clip(file), '\n')
	}
	return append(slices.Clip(file), l.String()+"\n"...), nil
}

// Remove returns the text of a file of tokens without the lines of a name.
func Remove(file []byte, name string) ([]byte, error) {
	if _, err := parse(file); err != nil {
		return nil, err
	}
	var kept []byte
	found := false
	for line := range bytes.Lines(file) {
		if fields := strings.Fields(uncommented(string(line))); len(fields) > 0 && fields[0] == name {
			found = true
			continue
		}
		kept = append(kept, line...)
	}
	if !found {
		return nil, fmt.Errorf("there is no token %.80q", name)
	}
	return kept, nil
}

// uncommented returns what is before the comment of a line.
func uncommented(line string) string {
	before, _, _ := strings.Cut(line, "#")
	return before
}

// oneLine makes one line of an error that joins several.
func oneLine(err error) error {
	joined, many := err.(interface{ Unwrap() []error })
	if !many {
		return err
	}
	var texts []string
	for _, err := range joined.Unwrap() {
		texts = append(texts, err.Error())
	}
	return errors.New(strings.Join(texts, "; "))
}
