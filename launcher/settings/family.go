package settings

import "slices"

// families are the variables with a changing part in their names, in the order
// of the documentation.
var families = slices.Concat(offerFamilies, checkFamilies, needFamilies, hookFamilies, coprocessFamilies, taskFamilies)

// offerFamilies are about what the container offers.
var offerFamilies = []Variable{
	{
		Name: "SERVICE_<port>_NAME", Example: "SERVICE_3306_NAME=mysql",
		Accepts: "a name, compared in lower case; `<port>` is a number, or a number and `_UDP`",
		Means:   "The service that the port offers, or with `SERVICE_NAME` every port. Without it: the command's name. A name that is not the port's own gets `-<port>` behind it when there are several ports.",
	},
	{
		Name: "SERVICE_<port>_TAGS", Example: `SERVICE_80_TAGS=primary,eu\,us`,
		Accepts: "a comma-separated list of at most 63 tags of up to 255 bytes; `\\,` is a comma in a tag",
		Means:   "The tags of the port, or with `SERVICE_TAGS` of every port that has none of its own. A UDP port also has the tag `udp`.",
	},
	{
		Name: "SERVICE_<port>_ID", Example: "SERVICE_80_ID=web-1",
		Accepts: "letters, digits and any of `. _ : @ -` after the first, at most 245 bytes",
		Means:   "The instance's id. Without it: `<CLEAT_ID>:<port>`, and `:udp` behind that for UDP. `SERVICE_ID` gets the port behind it in the same way when there are several.",
	},
	{
		Name: "SERVICE_<port>_IGNORE", Example: "SERVICE_9000_IGNORE=true",
		Accepts: "anything, even `false`",
		Means:   "The port is not registered, not even when it is found by listening. `SERVICE_IGNORE`: no port is.",
	},
	{
		Name: "SERVICE_<port>_ADVERTISE", Example: "SERVICE_80_ADVERTISE=192.0.2.1:8080",
		Accepts: "`port` or `host:port`, IPv6 in brackets",
		Means:   "What others must use instead of the port, and the address, that the child listens on: a published port, an address behind NAT.",
	},
	{
		Name: "SERVICE_<port>_<X>", Example: "SERVICE_80_WEIGHT=3",
		Accepts: "a value of up to 1024 bytes, at most 64 attributes",
		Means:   "Any other key is the attribute `x` of the port, or with `SERVICE_<X>` of every port.",
	},
}

// needFamilies are about what it needs, and what is made of that.
var needFamilies = []Variable{
	{
		Name: "CLEAT_REQUIRE_<ALIAS>", Example: "CLEAT_REQUIRE_DB=mysql?tag=primary",
		Accepts: "`<service>[?parameter&...]`, or `self[?service=]`",
		Means:   "A service that the child needs. The child is started when it is there, and gets `<ALIAS>_HOST`, `<ALIAS>_PORT`, `<ALIAS>_ADDR` and `<ALIAS>_ADDRS`.",
	},
	{
		Name: "CLEAT_VOLUME_<NAME>", Example: "CLEAT_VOLUME_DATA=/data?mounted&owner=mysql:mysql&mode=0750&seed=/usr/share/data",
		Accepts: "`/path[?option&...]`, an absolute path without `.` and `..`",
		Means:   "A directory that must be there before the child starts, and what it must be like.",
	},
	{
		Name: "CLEAT_NETWORK_<NAME>", Example: "CLEAT_NETWORK_BACK=10.2.0.0/16?wait=30s",
		Accepts: "`<interface spec>[?wait=]`: an interface (`ethwe`, `ethwe:inet6`, `ethwe[1]`), a network, `inet` or `inet6`",
		Means:   "A network that must be up before the child starts.",
	},
	{
		Name: "CLEAT_TEMPLATE_<NAME>", Example: "CLEAT_TEMPLATE_WEB=/etc/nginx.tmpl:/etc/nginx/nginx.conf:HUP",
		Accepts: "`source:destination[:action]`, absolute paths; the action is `restart`, `none`, a signal, or a command, which may hold colons",
		Means:   "A file rendered from a template, and what happens when its bytes change. Without an action: CLEAT_ON_CHANGE, or `none` where the template uses no other alias than `self` ones.",
	},
	{
		Name: "CLEAT_TEMPLATE_<NAME>_CHECK", Example: "CLEAT_TEMPLATE_WEB_CHECK=nginx -t -c {{staged}}",
		Accepts: "a command with `{{staged}}`, the path of the staged file, in it",
		Means:   "A command that must succeed before the new file is put in place.",
	},
	{
		Name: "CLEAT_TEMPLATE_<NAME>_MODE", Example: "CLEAT_TEMPLATE_WEB_MODE=0640",
		Accepts: "an octal number from 000 to 0777, three or four digits",
		Means:   "The permissions of the file. Without it: the source's.",
	},
	{
		Name: "CLEAT_TEMPLATE_<NAME>_OWNER", Example: "CLEAT_TEMPLATE_WEB_OWNER=www-data:www-data",
		Accepts: "a user's name or number, and after a `:` a group's name or number",
		Means:   "The owner of the file. Without it: cleat's own user.",
	},
	{
		Name: "CLEAT_TEMPLATE_<NAME>_SETTLE", Default: "500ms", Example: "CLEAT_TEMPLATE_WEB_SETTLE=2s",
		Accepts: "a duration from 0s to 1m",
		Means:   "How long after a signal, or after the end of a command, the child is taken to have applied the new file. `nginx -s reload` and its like end before the reload does.",
	},
	{
		Name: "CLEAT_ENV_<NAME>", Example: "CLEAT_ENV_DATABASE_URL=mysql://app@{{db.addr}}/blog",
		Accepts: "a text with placeholders; it may be empty",
		Means:   "The child gets the variable `<NAME>` with the placeholders in the text filled in, in place of one of that name that is set already.",
	},
}
