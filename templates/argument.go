package templates

import "strings"

// argumentTag takes a tag of an argument, outside of our blocks: ours if its
// first word says so, and else text that stays as it is. Someone else's
// delimiter that is not closed before ours begins is text as well.
func (b *builder) argumentTag(at int) {
	for begin := at; ; {
		if b.claims(b.inside(begin)) {
			b.ownTag(begin)
			return
		}
		next := strings.Index(b.text[begin+1:b.at-len(b.end)], b.start)
		if next < 0 {
			break
		}
		begin += 1 + next
	}
	b.template.literals = append(b.template.literals, b.text[at:b.at])
	b.emit(b.low, b.high)
	b.emit(at, b.at)
}

// claims reports whether a tag of an argument is ours: its first word, or the
// first behind each, if or if not, is a declared alias, self, env or file.
func (b *builder) claims(content string) bool {
	word, rest := cutWord(strings.TrimPrefix(content, "-"))
	switch word {
	case "each":
		word, _ = cutWord(rest)
	case "if":
		if word, rest = cutWord(rest); word == "not" {
			word, _ = cutWord(rest)
		}
	}
	switch word {
	case "self", "env", "file":
		return true
	}
	_, declared := b.context.Aliases[word]
	return declared
}

// cutWord returns the first word behind blanks, and what follows it.
func cutWord(s string) (word, rest string) {
	s = strings.TrimLeft(s, blanks)
	word = firstWord(s)
	return strings.TrimRight(word, "-"), s[len(word):] // {{end-}}
}
