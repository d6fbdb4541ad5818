package templates

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// quoteJSON gives a JSON string; unlike json.Marshal it leaves <, > and & be.
func quoteJSON(s string) (string, error) {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		return "", errors.New("cannot be written as JSON")
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}

func toJSON(_ call, v value) (value, error) {
	switch v.kind {
	case isText:
		s, err := quoteJSON(v.text)
		return textValue(s), err
	case isList:
		var b strings.Builder
		b.WriteByte('[')
		for i, item := range v.list {
			s, err := quoteJSON(item)
			if err != nil {
				return value{}, err
			}
			if b.Len()+len(s) > maxValueSize {
				return value{}, errTooLarge
			}
			if i > 0 {
				b.WriteByte(',')
			}
			b.WriteString(s)
		}
		b.WriteByte(']')
		return textValue(b.String()), nil
	default:
		return v, nil
	}
}

func checkPath(c call) error {
	if strings.Count(c.texts[0], ".") >= maxSteps {
		return fmt.Errorf("takes a path of at most %d names", maxSteps)
	}
	return nil
}

// getJSON finds a value in JSON text by a path of names and numbers.
func getJSON(c call, v value) (value, error) {
	raw := json.RawMessage(v.String())
	if !json.Valid(raw) {
		return value{}, errors.New("is not JSON")
	}
	for step := range strings.SplitSeq(c.texts[0], ".") {
		var object map[string]json.RawMessage
		var array []json.RawMessage
		switch {
		case json.Unmarshal(raw, &object) == nil && object != nil:
			next, found := object[step]
			if !found {
				return value{}, errMissing
			}
			raw = next
		case json.Unmarshal(raw, &array) == nil && array != nil:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(array) {
				return value{}, errMissing
			}
			raw = array[i]
		default:
			return value{}, errMissing
		}
	}
	var text string
	switch {
	case string(raw) == "null":
		return value{}, errMissing
	case json.Unmarshal(raw, &text) == nil:
		return textValue(text), nil
	default:
		return textValue(string(raw)), nil
	}
}

func quoteShell(_ call, s string) (string, error) {
	if strings.IndexByte(s, 0) >= 0 {
		return "", errors.New("holds a zero byte, which no shell can take")
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'", nil
}

var xmlEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&apos;")

func decodeBase64(_ call, s string) (string, error) {
	text, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(strings.TrimSpace(s), "="))
	if err != nil {
		return "", errors.New("is not base64")
	}
	return string(text), nil
}
