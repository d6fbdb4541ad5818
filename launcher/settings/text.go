package settings

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"

	"cleat/templates"
)

// EnvTemplate is one CLEAT_ENV_ variable.
type EnvTemplate struct {
	Name string
	Text *templates.Template
}

const envPrefix = "CLEAT_ENV_"

// childName is what names a variable of the child.
var childName = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`) })

// texts parses the CLEAT_ENV_ variables and the command.
func (p *parser) texts() {
	aliases := p.s.Aliases()
	if len(p.errs) > 0 {
		// An alias whose requirement is wrong is declared all the same: its
		// uses are no mistakes.
		for _, variable := range p.env.names(requirePrefix) {
			name := strings.ToLower(strings.TrimPrefix(variable, requirePrefix))
			if _, ok := aliases[name]; !ok && checkAlias(name) == nil {
				aliases[name] = templates.Alias{}
			}
		}
	}
	for _, variable := range p.env.names(envPrefix) {
		text := p.know(variable)
		name := strings.TrimPrefix(variable, envPrefix)
		if !childName().MatchString(name) {
			p.fail(variable, "", wrong("the name behind "+envPrefix+" cannot be a variable's", "letters, digits and '_', no digit first", ""))
			continue
		}
		t, err := templates.Parse(text, templates.Context{Name: variable, Mode: templates.Env, Aliases: aliases})
		if err != nil {
			p.failTemplate(variable, err)
			continue
		}
		p.s.Env = append(p.s.Env, EnvTemplate{Name: name, Text: t})
	}
	for i, text := range p.s.CommandText {
		name := argumentName(i)
		t, err := templates.Parse(text, templates.Context{Name: name, Mode: templates.Argument, Aliases: aliases})
		if err != nil {
			p.failTemplate(name, err)
			continue
		}
		p.s.Command = append(p.s.Command, t)
	}
}

// failTemplate notes each mistake in a text with placeholders. The value is
// not shown: it may hold a password beside its placeholders.
func (p *parser) failTemplate(variable string, err error) {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, inner := range joined.Unwrap() {
			p.failTemplate(variable, inner)
		}
		return
	}
	var e *Error
	if mistake, ok := errors.AsType[*templates.Error](err); ok {
		e = wrong(fmt.Sprintf("%d:%d: %s", mistake.Line, mistake.Column, mistake.Message), "", mistake.Hint)
	} else {
		e = wrong(err.Error(), "", "")
	}
	p.fail(variable, "", e)
}
