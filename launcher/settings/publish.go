package settings

import (
	"errors"

	"cleat/registry"
)

// CheckTag returns why a tag cannot, or must not, be published. It repeats no
// value.
func CheckTag(tag string) error {
	if holdsSecret(tag) {
		return errors.New("a tag that holds a password or another secret is not published")
	}
	_, err := probe(func(i *registry.Instance) { i.Tags = []string{tag} })
	return err
}

// CheckAttribute returns why an attribute cannot, or must not, be published. It
// repeats no value that may be a secret.
func CheckAttribute(key, value string) error {
	switch {
	case smells(key):
		return errors.New("the attribute " + shorten(key) + " is not published: its name smells of a secret")
	case holdsSecret(value):
		return errors.New("the attribute " + shorten(key) + " is not published: its value holds a password or another secret")
	}
	_, err := probe(func(i *registry.Instance) { i.Attributes = map[string]string{key: value} })
	return err
}
