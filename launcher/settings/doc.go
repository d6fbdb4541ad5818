// Package settings reads everything that the environment and the command line
// say, checks it, and hands it on as one value. docs/environment.md is its
// manual for users; a test keeps the two together.
//
// # What it is not
//
// It reads no environment, no file and no clock: [Parse] gets what it needs as
// arguments and is a pure function of them. Whether a path exists, a user is
// known or a server answers is found out by those who use the settings.
//
// # How a variable becomes a setting
//
//	environ --> last of each name --> CLEAT_<plain>      table of plain variables
//	                              |-> CLEAT_REQUIRE_*    requirements
//	                              |-> CLEAT_TEMPLATE_*   templates and their options
//	                              |-> CLEAT_ENV_*        texts for the child
//	                              |-> CLEAT_HOOK_*, CLEAT_COPROCESS_*, CLEAT_TASK_*
//	                              |                      commands before, beside and after it
//	                              |-> SERVICE_*          what is offered (Registrator's convention)
//	                              |-> any other CLEAT_*  an error, with a suggestion
//	                              '-> all others         the child's
//
// The plain variables are one table: name, default, what it accepts, an
// example, what it means, and how it is parsed. The documentation's test and
// `cleat explain` read the same table.
//
// # Guarantees
//
//   - All mistakes are reported together, each as an [*Error] that names its
//     variable, what was expected, and how to put it right. [Errors] lists them.
//   - No error, warning or account holds a secret: not the value of a variable
//     whose name smells of one, and not the password in a URL.
//   - An empty value is the same as none, except in CLEAT_ENV_*, so that
//     `-e NAME=` undoes what an image says.
//   - A [Settings] without error is consistent: what it names exists in it,
//     names and ids fit the registry's limits, durations are in range.
//
// # Memory
//
// Regular expressions are compiled at their first use, here and in the packages
// around: what a program does before main is done in the init stage too, which
// needs none of them, and its memory stays in use as long as the container lives.
package settings
