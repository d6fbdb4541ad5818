package templates

import "strings"

// closest returns the candidate that the misspelt word most likely meant, or
// "" when none is near: at most a third of its letters may differ, and at
// least one may.
func closest(word string, candidates []string) string {
	if len(word) > maxQuoted {
		return ""
	}
	word = strings.ToLower(word)
	best, found := max(1, len(word)/3)+1, ""
	for _, candidate := range candidates {
		if len(candidate) > maxQuoted {
			continue
		}
		if d := distance(word, strings.ToLower(candidate)); d < best && d < len(candidate) {
			best, found = d, candidate
		}
	}
	return found
}

// distance is the number of letters to insert, delete, change or swap with
// their neighbour to get from a to b.
func distance(a, b string) int {
	before, last, next := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		next[0] = i
		for j := 1; j <= len(b); j++ {
			change := 1
			if a[i-1] == b[j-1] {
				change = 0
			}
			next[j] = min(last[j]+1, next[j-1]+1, last[j-1]+change)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				next[j] = min(next[j], before[j-2]+1)
			}
		}
		before, last, next = last, next, before
	}
	return last[len(b)]
}

// didYouMean is the hint for a misspelt word: the nearest candidate, or else
// what there is.
func didYouMean(word string, candidates []string) string {
	if near := closest(word, candidates); near != "" {
		return "did you mean " + near + "?"
	}
	return "expected " + strings.Join(candidates, ", ")
}

// foreign are words of other template languages, with what to write here.
var foreign = map[string]string{
	"range":    "write each ALIAS",
	"with":     "write if ALIAS",
	"foreach":  "write each ALIAS",
	"for":      "write each ALIAS",
	"#each":    "write each ALIAS",
	"#if":      "write if VALUE",
	"/each":    "a block ends with end",
	"/if":      "a block ends with end",
	"endif":    "a block ends with end",
	"endfor":   "a block ends with end",
	"endeach":  "a block ends with end",
	"elseif":   "write else if VALUE",
	"elif":     "write else if VALUE",
	"unless":   "write if not VALUE",
	"#unless":  "write if not VALUE",
	"service":  "declare a requirement and write each ALIAS",
	"services": "declare a requirement and write each ALIAS",
	"getenv":   "write env.NAME",
	"getv":     "write env.NAME or ALIAS.attr.KEY",
	"gets":     "write each ALIAS",
	"key":      "write env.NAME or ALIAS.attr.KEY",
	"address":  "write host or addr",
	"include":  "write file '/path'",
	"secret":   "write file '/path'",
}
