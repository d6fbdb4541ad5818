// Package docs holds what users read. Its tests hold it to the code.
package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// TestOperationsExplainsEveryLogLine finds the messages that cleat and cleatd
// log and looks for each in operations.md.
func TestOperationsExplainsEveryLogLine(t *testing.T) {
	manual, err := os.ReadFile("operations.md")
	if err != nil {
		t.Fatal(err)
	}
	messages := make(map[string]string) // where each one is logged
	for _, dir := range []string{"../cmd", "../launcher", "../registry/server", "../registry/client", "../registry/access", "../internal/filewatch"} {
		err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			return logged(path, messages)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	const fewest = 40 // a search that finds less is broken
	if len(messages) < fewest {
		t.Errorf("only %d messages were found in the code; expected %d and more", len(messages), fewest)
	}
	for _, message := range slices.Sorted(maps.Keys(messages)) {
		if !strings.Contains(string(manual), message) {
			t.Errorf("%s: the message %q is not explained in docs/operations.md", messages[message], message)
		}
	}
}

// logged adds the messages that a file logs: the text that is given to a method
// Info, Warn or Error of something called log, to say, or to complain.
func logged(path string, messages map[string]string) error {
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, path, nil, 0)
	if err != nil {
		return err
	}
	note := func(x ast.Expr) {
		message, _, _ := strings.Cut(literal(x), "%") // of a format: up to its first value
		if message = strings.TrimRight(message, " :"); message != "" {
			messages[message] = files.Position(x.Pos()).String()
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok {
			return true
		}
		if function, ok := call.Fun.(*ast.Ident); ok && function.Name == "complain" {
			note(call.Args[0]) // of the init stage
		}
		method, ok := call.Fun.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		at := 0
		switch method.Sel.Name {
		case "Info", "Warn", "Error":
			if !isLog(method.X) {
				return true
			}
		case "say", "LogAttrs":
			at = 2 // after the subject or context, and the level
		default:
			return true
		}
		if at < len(call.Args) {
			note(call.Args[at])
		}
		return true
	})
	return nil
}

// isLog reports whether an expression is called log, or is the member Log or
// log of something.
func isLog(x ast.Expr) bool {
	switch x := x.(type) {
	case *ast.Ident:
		return x.Name == "log"
	case *ast.SelectorExpr:
		return strings.EqualFold(x.Sel.Name, "log")
	}
	return false
}

// literal returns the text of a literal, or of the one that a sum begins with;
// empty when there is none.
func literal(x ast.Expr) string {
	switch x := x.(type) {
	case *ast.BasicLit:
		if text, err := strconv.Unquote(x.Value); err == nil && x.Kind == token.STRING {
			return text
		}
	case *ast.BinaryExpr:
		return literal(x.X)
	}
	return ""
}
