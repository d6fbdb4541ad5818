package settings

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// server is what most environments need beside the thing in question.
const server = "CLEAT_SERVER=http://127.0.0.1:9640"

// mistakes are one of each kind, and the whole message. Variables are
// separated by new lines; a first line "alone" leaves the server out.
var mistakes = []struct{ environ, want string }{
	// Variables that do not exist.
	{"CLEAT_REQURE_DB=mysql",
		`CLEAT_REQURE_DB: there is no such variable; did you mean CLEAT_REQUIRE_DB?`},
	{"CLEAT_SERVRE=x",
		`CLEAT_SERVRE: there is no such variable; did you mean CLEAT_SERVER?`},
	{"CLEAT_STOP_TIMOUT=x",
		`CLEAT_STOP_TIMOUT: there is no such variable; did you mean CLEAT_STOP_TIMEOUT?`},
	{"CLEAT_TEMPLTAE_WEB=x",
		`CLEAT_TEMPLTAE_WEB: there is no such variable; did you mean CLEAT_TEMPLATE_WEB?`},
	{"CLEAT_EVN_X=x",
		`CLEAT_EVN_X: there is no such variable; did you mean CLEAT_ENV_X?`},
	{"CLEAT_REQUIRED=x",
		`CLEAT_REQUIRED: there is no such variable; did you mean CLEAT_REQUIRE_<ALIAS>?`},
	{"CLEAT_require_DB=x",
		`CLEAT_require_DB: there is no such variable; did you mean CLEAT_REQUIRE_DB?`},
	{"CLEAT_\x1b[31m=x",
		`CLEAT_?[31m: there is no such variable; docs/environment.md lists them all`},
	{"CLEAT_WHATEVER=x",
		`CLEAT_WHATEVER: there is no such variable; docs/environment.md lists them all`},
	{"CLEAT_=x",
		`CLEAT_: there is no such variable; docs/environment.md lists them all`},
	{"CLEAT_PORT=auto",
		`CLEAT_PORT: there is no such variable; did you mean CLEAT_PORTS?`},
	{"CLEAT_CACHE=cache",
		`CLEAT_CACHE="cache": this is not an absolute path; expected a path that begins with '/'`},
	{"CLEAT_LOG_CHILD=x",
		`CLEAT_LOG_CHILD="x": there is no such choice; expected raw or prefix`},

	// Volumes.
	{"CLEAT_VOLUM_DATA=/data",
		`CLEAT_VOLUM_DATA: there is no such variable; did you mean CLEAT_VOLUME_DATA?`},
	{"CLEAT_VOLUME_DATA=data",
		`CLEAT_VOLUME_DATA="data": this is not an absolute path; expected a path that begins with '/'`},
	{"CLEAT_VOLUME_DATA=?mounted",
		`CLEAT_VOLUME_DATA="?mounted": this is not an absolute path; expected a path that begins with '/'`},
	{"CLEAT_VOLUME_DATA=/",
		`CLEAT_VOLUME_DATA="/": this is the root of all files; expected a directory below it`},
	{"CLEAT_VOLUME_DATA=/srv/../data/",
		`CLEAT_VOLUME_DATA="/srv/../data/": the path is not clean; expected a path without '.', '..', '//' and a '/' at its end; write /data`},
	{"CLEAT_VOLUME_1=/data",
		`CLEAT_VOLUME_1="/data": the name of the volume cannot be used; expected a letter, then letters, digits and '_', at most 63`},
	{"CLEAT_VOLUME_=/data",
		`CLEAT_VOLUME_="/data": the name of the volume cannot be used; expected a letter, then letters, digits and '_', at most 63`},
	{"CLEAT_VOLUME_A=/data\nCLEAT_VOLUME_a=/other",
		`CLEAT_VOLUME_a="/other": it has the same name as CLEAT_VOLUME_A; names are compared in lower case`},
	{"CLEAT_VOLUME_A=/data\nCLEAT_VOLUME_B=/data?mounted",
		`CLEAT_VOLUME_B="/data?mounted": it has the same path as CLEAT_VOLUME_A`},
	{"CLEAT_VOLUME_DATA=/data?mouted",
		`CLEAT_VOLUME_DATA="/data?mouted": there is no option "mouted"; did you mean mounted?`},
	{"CLEAT_VOLUME_DATA=/data?ro",
		`CLEAT_VOLUME_DATA="/data?ro": there is no option "ro"; expected mounted, writable, owner, mode, seed, wait, provision, release`},
	{"CLEAT_VOLUME_DATA=/data?mounted=perhaps",
		`CLEAT_VOLUME_DATA="/data?mounted=perhaps": mounted=: there is no such choice; expected true or false`},
	{"CLEAT_VOLUME_DATA=/data?mode=0750&mode=0700",
		`CLEAT_VOLUME_DATA="/data?mode=0750&mode=0700": mode= is there more than once; expected once`},
	{"CLEAT_VOLUME_DATA=/data?mode=",
		`CLEAT_VOLUME_DATA="/data?mode=": mode= is empty; give it a value, or leave it out`},
	{"CLEAT_VOLUME_DATA=/data?mode=rwx",
		`CLEAT_VOLUME_DATA="/data?mode=rwx": mode=: this is no mode; expected an octal number from 000 to 7777; such as 0750 or 1777`},
	{"CLEAT_VOLUME_DATA=/data?owner=a:b:c",
		`CLEAT_VOLUME_DATA="/data?owner=a:b:c": owner=: this is no owner; expected user or user:group, names or numbers; such as 1000:1000 or www-data`},
	{"CLEAT_VOLUME_DATA=/data?seed=seed",
		`CLEAT_VOLUME_DATA="/data?seed=seed": seed=: this is not an absolute path; expected a path that begins with '/'`},
	{"CLEAT_VOLUME_DATA=/data?seed=/data/seed",
		`CLEAT_VOLUME_DATA="/data?seed=/data/seed": seed=: the seed and the volume are one, or one within the other; expected a directory elsewhere`},
	{"CLEAT_VOLUME_DATA=/data/x?seed=/data",
		`CLEAT_VOLUME_DATA="/data/x?seed=/data": seed=: the seed and the volume are one, or one within the other; expected a directory elsewhere`},
	{"CLEAT_VOLUME_DATA=/data?wait=30",
		`CLEAT_VOLUME_DATA="/data?wait=30": wait=: a number without a unit; expected a duration from 100ms to 24h; write 30s for seconds or 30ms for milliseconds`},
	{"CLEAT_VOLUME_DATA=/data?wait=0s",
		`CLEAT_VOLUME_DATA="/data?wait=0s": wait=: the duration is out of range; expected a duration from 100ms to 24h`},
	{"CLEAT_VOLUME_DATA=/data?release=umount+/data",
		`CLEAT_VOLUME_DATA="/data?...": release= without provision= has nothing to undo; expected both, or provision= alone`},
	{"CLEAT_VOLUME_DATA=/data?provision=mount+'x",
		`CLEAT_VOLUME_DATA="/data?...": provision=: the command cannot be split into words; a quote or a backslash at its end is left open`},
	{"CLEAT_VOLUME_DATA=/data?provision=mount&release=''",
		`CLEAT_VOLUME_DATA="/data?...": release=: the command is empty`},
	{"CLEAT_VOLUME_DATA=/data?provision=a;b",
		`CLEAT_VOLUME_DATA="/data?...": what follows the '?' is not a URL query; expected option=value&option=value; write %3B for ';', %26 for '&', %25 for '%', %2B for '+', and + or %20 for a space`},
	{"CLEAT_VOLUME_DATA=/data?provision=mount+-o+password%3Dhunter2&mode=x",
		`CLEAT_VOLUME_DATA="/data?...": mode=: this is no mode; expected an octal number from 000 to 7777; such as 0750 or 1777`},

	// Networks.
	{"CLEAT_NETWROK_BACK=eth1",
		`CLEAT_NETWROK_BACK: there is no such variable; did you mean CLEAT_NETWORK_BACK?`},
	{"CLEAT_NETWORK_BACK=10.2.0.0/99",
		`CLEAT_NETWORK_BACK="10.2.0.0/99": this is not a network, such as 10.0.0.0/8 or fd00::/8`},
	{"CLEAT_NETWORK_BACK=10.2.0.1",
		`CLEAT_NETWORK_BACK="10.2.0.1": an address is no network; write 10.2.0.1/32`},
	{"CLEAT_NETWORK_BACK=static:10.2.0.1",
		`CLEAT_NETWORK_BACK="static:10.2.0.1": an address is no network; write 10.2.0.1/32`},
	{"CLEAT_NETWORK_BACK=route",
		`CLEAT_NETWORK_BACK="route": this says where to advertise, and names no network; expected an interface (eth0, eth0:inet6, eth0[1]), a network (10.0.0.0/8), inet or inet6`},
	{"CLEAT_NETWORK_BACK=env:HOST_IP",
		`CLEAT_NETWORK_BACK="env:HOST_IP": this says where to advertise, and names no network; expected an interface (eth0, eth0:inet6, eth0[1]), a network (10.0.0.0/8), inet or inet6`},
	{"CLEAT_NETWORK_BACK=eth0,eth1",
		`CLEAT_NETWORK_BACK="eth0,eth1": this is a list; expected an interface (eth0, eth0:inet6, eth0[1]), a network (10.0.0.0/8), inet or inet6`},
	{"CLEAT_NETWORK_BACK=a-name-far-too-long",
		`CLEAT_NETWORK_BACK="a-name-far-too-long": this is no such spec; expected an interface (eth0, eth0:inet6, eth0[1]), a network (10.0.0.0/8), inet or inet6`},
	{"CLEAT_NETWORK_BACK=eth1?wiat=3s",
		`CLEAT_NETWORK_BACK="eth1?wiat=3s": there is no option "wiat"; did you mean wait?`},
	{"CLEAT_NETWORK_BACK=eth1?wait=3",
		`CLEAT_NETWORK_BACK="eth1?wait=3": wait=: a number without a unit; expected a duration from 100ms to 24h; write 3s for seconds or 3ms for milliseconds`},
	{"CLEAT_NETWORK_BACK-1=eth1",
		`CLEAT_NETWORK_BACK-1="eth1": the name of the network cannot be used; expected a letter, then letters, digits and '_', at most 63`},
	{"CLEAT_NETWORK_B=eth1\nCLEAT_NETWORK_b=eth2",
		`CLEAT_NETWORK_b="eth2": it has the same name as CLEAT_NETWORK_B; names are compared in lower case`},

	// The server.
	{"alone\nCLEAT_SERVER=cleatd:9640",
		`CLEAT_SERVER="cleatd:9640": a server has no scheme; expected http://host:port or https://host:port; write http:// before it`},
	{"alone\nCLEAT_SERVER=ftp://cleatd:9640",
		`CLEAT_SERVER="ftp://cleatd:9640": a server has the wrong scheme; expected http://host:port or https://host:port`},
	{"alone\nCLEAT_SERVER=http://cleatd",
		`CLEAT_SERVER="http://cleatd": a server has no port; expected http://host:port or https://host:port; cleatd's is 9640 unless told otherwise`},
	{"alone\nCLEAT_SERVER=http://cleatd:0",
		`CLEAT_SERVER="http://cleatd:0": a server has a port out of range; expected a port from 1 to 65535`},
	{"alone\nCLEAT_SERVER=http://cleatd:99999",
		`CLEAT_SERVER="http://cleatd:99999": a server has a port out of range; expected a port from 1 to 65535`},
	{"alone\nCLEAT_SERVER=http://cleatd:9640/x",
		`CLEAT_SERVER="http://cleatd:9640/x": a server has something behind its port; expected http://host:port or https://host:port; leave out everything behind the port`},
	{"alone\nCLEAT_SERVER=http://bob:hunter2@cleatd:9640",
		`CLEAT_SERVER="http://bob:***@cleatd:9640": a server has a user in its URL; expected http://host:port or https://host:port; put the token into CLEAT_TOKEN_FILE`},
	{"alone\nCLEAT_SERVER=http://cl eatd:9640",
		`CLEAT_SERVER="http://cl eatd:9640": a server is not a URL; expected http://host:port or https://host:port`},
	{"alone\nCLEAT_SERVER=http://cl_*:9640",
		`CLEAT_SERVER="http://cl_*:9640": a server has no usable host; expected http://host:port or https://host:port`},
	{"alone\nCLEAT_SERVER=http://0.0.0.0:9640",
		`CLEAT_SERVER="http://0.0.0.0:9640": a server has no usable host; expected http://host:port or https://host:port`},
	{"alone\nCLEAT_SERVER=,",
		`CLEAT_SERVER=",": the list has nothing in it; expected http://host:port`},
	{"CLEAT_TOKEN=with space",
		`CLEAT_TOKEN: a token has a space, a control character or one beyond ASCII in it; expected printable ASCII without spaces`},
	{"CLEAT_TOKEN=" + strings.Repeat("x", 4097),
		`CLEAT_TOKEN: the token is too long; expected at most 4096 bytes`},
	{"CLEAT_TOKEN=x\nCLEAT_TOKEN_FILE=/x",
		`CLEAT_TOKEN: CLEAT_TOKEN_FILE is there as well; expected one of the two; keep CLEAT_TOKEN_FILE`},
	{"CLEAT_TOKEN_FILE=hunter2",
		`CLEAT_TOKEN_FILE: this is not an absolute path; expected a path that begins with '/'`},
	{"CLEAT_CA=ca.pem",
		`CLEAT_CA="ca.pem": this is not an absolute path; expected a path that begins with '/'`},
	{"CLEAT_CERT=/x",
		`CLEAT_CERT="/x": CLEAT_KEY is missing; expected both or none`},
	{"CLEAT_KEY=/x",
		`CLEAT_KEY: CLEAT_CERT is missing; expected both or none`},
	{"CLEAT_CERT=x.pem",
		`CLEAT_CERT="x.pem": this is not an absolute path; expected a path that begins with '/'`},
	{"CLEAT_KEY=hunter2",
		`CLEAT_KEY: this is not an absolute path; expected a path that begins with '/'`},
	{"CLEAT_NAMESPACE=a//b",
		`CLEAT_NAMESPACE="a//b": the namespace "a//b" is not made of names joined by '/': the name is empty; expected letters, digits, '-' and '_'`},
	{"CLEAT_NAMESPACE=a/b/c/d/e",
		`CLEAT_NAMESPACE="a/b/c/d/e": the namespace "a/b/c/d/e" has more than 4 parts`},
	{"CLEAT_ZONE=eu 1",
		`CLEAT_ZONE="eu 1": the name "eu 1" has ' ' in it; expected letters, digits, '-' and '_'`},
	{"CLEAT_ID=a b",
		`CLEAT_ID="a b": the id "a b" has ' ' at position 2; expected letters and digits, and any of . _ : @ - after the first`},
	{"CLEAT_ID=" + strings.Repeat("x", 246),
		`CLEAT_ID="xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...": the id is too long; expected at most 245 bytes`},
	{"CLEAT_ADVERTISE=docker:eth0",
		`CLEAT_ADVERTISE="docker:eth0": "docker:eth0": after docker: the host's address is expected, as static:ADDRESS or env:NAME`},
	{"CLEAT_ADVERTISE=10.0.0.1",
		`CLEAT_ADVERTISE="10.0.0.1": "10.0.0.1": this is an address; write static:10.0.0.1`},
	{"CLEAT_ADVERTISE=static:x,route,10.0.0.0/99",
		`CLEAT_ADVERTISE="static:x,route,10.0.0.0/99": "static:x": this is not an IP address; "10.0.0.0/99": this is not a network, such as 10.0.0.0/8 or fd00::/8`},

	// Plain settings.
	{"CLEAT_PORTS=80",
		`CLEAT_PORTS="80": there is no such choice; expected auto or none; ports are named by variables such as SERVICE_80_NAME`},
	{"CLEAT_TEMPLATES=templates",
		`CLEAT_TEMPLATES="templates": this is not an absolute path; expected a path that begins with '/'`},
	{"CLEAT_TEMPLATES=/" + strings.Repeat("x", 4095),
		`CLEAT_TEMPLATES="/xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...": the path is too long; expected at most 4095 bytes`},
	{"CLEAT_ON_CHANGE=HPU",
		`CLEAT_ON_CHANGE="HPU": there is no signal "HPU"; did you mean HUP?; expected restart, none, a signal or a command; a command of that name is written with its path`},
	{"CLEAT_ON_CHANGE=99",
		`CLEAT_ON_CHANGE="99": there is no signal 99; expected 1 to 64, or a name; expected restart, none, a signal or a command; a command of that name is written with its path`},
	{"CLEAT_ON_CHANGE= ",
		`CLEAT_ON_CHANGE=" ": the action is empty; expected restart, none, a signal or a command`},
	{"CLEAT_ON_CHANGE=nginx 'x",
		`CLEAT_ON_CHANGE="nginx 'x": the command cannot be split into words; expected restart, none, a signal or a command; a quote or a backslash at its end is left open`},
	{"CLEAT_ON_CHANGE=''",
		`CLEAT_ON_CHANGE="''": the command is empty; expected restart, none, a signal or a command`},
	{"CLEAT_QUIET=100ms",
		`CLEAT_QUIET="100ms": there is only one duration; expected min:max, durations from 0s to 10m; such as 100ms:2s`},
	{"CLEAT_QUIET=2s:100ms",
		`CLEAT_QUIET="2s:100ms": min is longer than max; expected min:max, durations from 0s to 10m`},
	{"CLEAT_QUIET=100ms:2",
		`CLEAT_QUIET="100ms:2": a number without a unit; expected min:max, durations from 0s to 10m; write 2s for seconds or 2ms for milliseconds`},
	{"CLEAT_QUIET=x:2s",
		`CLEAT_QUIET="x:2s": this is not a duration; expected min:max, durations from 0s to 10m; write a number and a unit, such as 500ms, 10s or 2m`},
	{"CLEAT_QUIET=1s:1h",
		`CLEAT_QUIET="1s:1h": the duration is out of range; expected min:max, durations from 0s to 10m`},
	{"CLEAT_SPLAY=30",
		`CLEAT_SPLAY="30": a number without a unit; expected a duration from 0s to 1h; write 30s for seconds or 30ms for milliseconds`},
	{"CLEAT_SPLAY=-1s",
		`CLEAT_SPLAY="-1s": the duration is out of range; expected a duration from 0s to 1h`},
	{"CLEAT_SPLAY=2h",
		`CLEAT_SPLAY="2h": the duration is out of range; expected a duration from 0s to 1h`},
	{"CLEAT_USER=a b",
		`CLEAT_USER="a b": this is no user; expected user or user:group, names or numbers; such as 1000:1000 or www-data`},
	{"CLEAT_USER=1:2:3",
		`CLEAT_USER="1:2:3": this is no user; expected user or user:group, names or numbers; such as 1000:1000 or www-data`},
	{"CLEAT_USER=4294967295",
		`CLEAT_USER="4294967295": this is no user; expected user or user:group, names or numbers; such as 1000:1000 or www-data`},
	{"CLEAT_STOP_ON=TERM,KILL",
		`CLEAT_STOP_ON="TERM,KILL": SIGKILL cannot begin a stop; expected signals that cleat can catch: not KILL, STOP, CHLD, URG, PROF, or 32 to 34`},
	{"CLEAT_STOP_ON=TERM,",
		`CLEAT_STOP_ON="TERM,": there is no signal ""; expected a name such as TERM or RTMIN+3, or a number`},
	{"CLEAT_STOP_ON=CHLD",
		`CLEAT_STOP_ON="CHLD": SIGCHLD cannot begin a stop; expected signals that cleat can catch: not KILL, STOP, CHLD, URG, PROF, or 32 to 34`},
	{"CLEAT_STOP_ON=PROF",
		`CLEAT_STOP_ON="PROF": SIGPROF cannot begin a stop; expected signals that cleat can catch: not KILL, STOP, CHLD, URG, PROF, or 32 to 34`},
	{"CLEAT_STOP_ON=TREM",
		`CLEAT_STOP_ON="TREM": there is no signal "TREM"; did you mean TERM?`},
	{"CLEAT_STOP_SIGNAL=QUITE",
		`CLEAT_STOP_SIGNAL="QUITE": there is no signal "QUITE"; did you mean QUIT?`},
	{"CLEAT_STOP_SIGNAL=65",
		`CLEAT_STOP_SIGNAL="65": there is no signal 65; expected 1 to 64, or a name`},
	{"CLEAT_STOP_SIGNAL=RTMIN+31",
		`CLEAT_STOP_SIGNAL="RTMIN+31": there is no signal "RTMIN+31"; expected a name such as TERM or RTMIN+3, or a number`},
	{"CLEAT_STOP_SIGNAL=STOP",
		`CLEAT_STOP_SIGNAL="STOP": STOP freezes the child and never ends it; expected a signal that ends the child; such as TERM`},
	{"CLEAT_STOP_TIMEOUT=9",
		`CLEAT_STOP_TIMEOUT="9": a number without a unit; expected a duration from 0s to 24h; write 9s for seconds or 9ms for milliseconds`},
	{"CLEAT_STOP_TIMEOUT=9 s",
		`CLEAT_STOP_TIMEOUT="9 s": this is not a duration; expected a duration from 0s to 24h; write a number and a unit, such as 500ms, 10s or 2m`},
	{"CLEAT_STOP_TIMEOUT=25h",
		`CLEAT_STOP_TIMEOUT="25h": the duration is out of range; expected a duration from 0s to 24h`},
	{"CLEAT_DRAIN=20s",
		`CLEAT_DRAIN="20s": draining is longer than the whole stop; expected at most CLEAT_STOP_TIMEOUT, 9s; raise CLEAT_STOP_TIMEOUT, and what stops the container`},
	{"CLEAT_DRAIN=x",
		`CLEAT_DRAIN="x": this is not a duration; expected a duration from 0s to 24h; write a number and a unit, such as 500ms, 10s or 2m`},
	{"CLEAT_LINGER=5s",
		`CLEAT_LINGER="5s": lingering is longer than draining; expected at most CLEAT_DRAIN, 4s; raise CLEAT_DRAIN`},
	{"CLEAT_LINGER=1",
		`CLEAT_LINGER="1": a number without a unit; expected a duration from 0s to 24h; write 1s for seconds or 1ms for milliseconds`},
	{"CLEAT_KILL_GROUP=ture",
		`CLEAT_KILL_GROUP="ture": there is no such choice; expected true or false; did you mean true?`},
	{"CLEAT_REWRITE=TERM",
		`CLEAT_REWRITE="TERM": an item has no ':'; expected a list of from:to, signals; such as TERM:QUIT,HUP:0`},
	{"CLEAT_REWRITE=TRM:QUIT",
		`CLEAT_REWRITE="TRM:QUIT": there is no signal "TRM"; did you mean TERM?; expected a list of from:to, signals`},
	{"CLEAT_REWRITE=TERM:QIUT",
		`CLEAT_REWRITE="TERM:QIUT": there is no signal "QIUT"; did you mean QUIT?; expected a list of from:to, signals`},
	{"CLEAT_REWRITE=KILL:TERM",
		`CLEAT_REWRITE="KILL:TERM": SIGKILL is never forwarded; expected a list of from:to, signals`},
	{"CLEAT_REWRITE=34:TERM",
		`CLEAT_REWRITE="34:TERM": SIGRTMIN is never forwarded; expected a list of from:to, signals`},
	{"CLEAT_REWRITE=TERM:QUIT,15:0",
		`CLEAT_REWRITE="TERM:QUIT,15:0": SIGTERM is there twice; expected a list of from:to, signals`},
	{"CLEAT_MAP_EXIT=143",
		`CLEAT_MAP_EXIT="143": an item has no ':'; expected a list of from:to, exit codes from 0 to 255; such as 143:0`},
	{"CLEAT_MAP_EXIT=143:256",
		`CLEAT_MAP_EXIT="143:256": an item is not two exit codes; expected a list of from:to, exit codes from 0 to 255; such as 143:0`},
	{"CLEAT_MAP_EXIT=x:0",
		`CLEAT_MAP_EXIT="x:0": an item is not two exit codes; expected a list of from:to, exit codes from 0 to 255; such as 143:0`},
	{"CLEAT_MAP_EXIT=1:0,1:2",
		`CLEAT_MAP_EXIT="1:0,1:2": the exit code 1 is there twice; expected a list of from:to, exit codes from 0 to 255`},
	{"CLEAT_RESTART=onfailure",
		`CLEAT_RESTART="onfailure": there is no such choice; expected never, on-failure or always; did you mean on-failure?`},
	{"CLEAT_SOCKET=cleat.sock",
		`CLEAT_SOCKET="cleat.sock": this is not an absolute path; expected an absolute path, or none`},
	{"CLEAT_SOCKET=/" + strings.Repeat("x", 107),
		`CLEAT_SOCKET="/` + strings.Repeat("x", 79) + `...": the path is too long for a socket; expected at most 107 bytes`},
	{"CLEAT_LOG=xml",
		`CLEAT_LOG="xml": there is no such choice; expected text or json`},
	{"CLEAT_LOG_LEVEL=warning",
		`CLEAT_LOG_LEVEL="warning": there is no such choice; expected debug, info, warn or error`},

	// What is offered.
	{"SERVICE_80_NAME=my service",
		`SERVICE_80_NAME="my service": the name "my service" has ' ' in it; expected letters, digits, '-' and '_'`},
	{"SERVICE_NAME=-",
		`SERVICE_NAME="-": the name "-" begins or ends with '-'; it must begin and end with a letter or a digit`},
	{"SERVICE_0_NAME=x",
		`SERVICE_0_NAME="x": the port in the name is wrong; expected a number from 1 to 65535 without leading zeros`},
	{"SERVICE_080_NAME=x",
		`SERVICE_080_NAME="x": the port in the name is wrong; expected a number from 1 to 65535 without leading zeros`},
	{"SERVICE_65536_NAME=x",
		`SERVICE_65536_NAME="x": the port in the name is wrong; expected a number from 1 to 65535 without leading zeros`},
	{"SERVICE_80_ID=a b",
		`SERVICE_80_ID="a b": the id "a b" has ' ' at position 2; expected letters and digits, and any of . _ : @ - after the first`},
	{"SERVICE_80_ID=" + strings.Repeat("x", 246),
		`SERVICE_80_ID="xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...": the id is too long; expected at most 245 bytes`},
	{"SERVICE_80_ID=a\nSERVICE_81_ID=a",
		`SERVICE_81_ID="a": two ports have the same id; leave it out for one of them`},
	{"SERVICE_81_ID=box-r4nd0m:80\nSERVICE_80_NAME=x",
		`SERVICE_81_ID="box-r4nd0m:80": two ports have the same id; leave it out for one of them`},
	{"SERVICE_80_TAGS=" + strings.Repeat("x", 256),
		`SERVICE_80_TAGS="xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx...": the tag "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"... is empty, longer than 255 bytes, or not printable`},
	{"SERVICE_80_TAGS=" + numbers(64),
		`SERVICE_80_TAGS="x,xx,xxx,xxxx,xxxxx,xxxxxx,xxxxxxx,xxxxxxxx,xxxxxxxxx,xxxxxxxxxx,xxxxxxxxxxx,xxx...": there are 64 tags; expected at most 63`},
	{"SERVICE_80_ADVERTISE=host",
		`SERVICE_80_ADVERTISE="host": this is neither a port nor a host and a port; expected port or host:port; such as 8080, 192.0.2.1:8080 or [2001:db8::1]:8080`},
	{"SERVICE_80_ADVERTISE=host:0",
		`SERVICE_80_ADVERTISE="host:0": the port is wrong; expected a number from 1 to 65535`},
	{"SERVICE_80_ADVERTISE=:80",
		`SERVICE_80_ADVERTISE=":80": "" is neither an IP address nor a host name; expected port or host:port`},
	{"SERVICE_80_ADVERTISE=::1:80",
		`SERVICE_80_ADVERTISE="::1:80": this is neither a port nor a host and a port; expected port or host:port; such as 8080, 192.0.2.1:8080 or [2001:db8::1]:8080`},
	{"SERVICE_80_ADVERTISE=0.0.0.0:80",
		`SERVICE_80_ADVERTISE="0.0.0.0:80": the address "0.0.0.0" is not one that anybody could connect to; expected port or host:port`},

	// Checks.
	{"SERVICE_80_CHECK_HTTP=health",
		`SERVICE_80_CHECK_HTTP="health": this is not a path; expected a path that begins with '/', such as /health`},
	{"SERVICE_80_CHECK_HTTP=http://localhost:8080/health",
		`SERVICE_80_CHECK_HTTP="http://localhost:8080/health": this is not a path; expected a path that begins with '/', such as /health; the address is the one that the child listens on`},
	{"SERVICE_80_CHECK_HTTP=/a b",
		`SERVICE_80_CHECK_HTTP="/a b": this cannot stand in a URL; expected a path that begins with '/', such as /health; write %20 for a space, and %25 for '%'`},
	{"SERVICE_80_CHECK_HTTPS=/%zz",
		`SERVICE_80_CHECK_HTTPS="/%zz": this cannot stand in a URL; expected a path that begins with '/', such as /health; write %20 for a space, and %25 for '%'`},
	{"SERVICE_80_CHECK_HTTP=/#top",
		`SERVICE_80_CHECK_HTTP="/#top": a server is never sent what follows a '#'; expected a path that begins with '/', such as /health; leave it out, or write %23`},
	{"SERVICE_80_CHECK_HTTP=/" + strings.Repeat("x", 4095),
		`SERVICE_80_CHECK_HTTP="/` + strings.Repeat("x", 79) + `...": the path is too long; expected at most 4095 bytes`},
	{"SERVICE_80_CHECK_HTTP=/\nSERVICE_80_CHECK_HTTP_METHOD=GET /",
		`SERVICE_80_CHECK_HTTP_METHOD="GET /": this is no method for a check; expected at most 16 letters; such as GET or HEAD`},
	{"SERVICE_80_CHECK_HTTPS=/\nSERVICE_80_CHECK_HTTPS_METHOD=connect",
		`SERVICE_80_CHECK_HTTPS_METHOD="connect": this is no method for a check; expected at most 16 letters; such as GET or HEAD`},
	{"SERVICE_80_CHECK_HTTPS=/\nSERVICE_80_CHECK_TLS_SKIP_VERIFY=maybe",
		`SERVICE_80_CHECK_TLS_SKIP_VERIFY="maybe": there is no such choice; expected true or false`},
	{"SERVICE_80_CHECK_HTTPS=/\nSERVICE_80_CHECK_TLS_SERVER_NAME=a b",
		`SERVICE_80_CHECK_TLS_SERVER_NAME="a b": "a b" is neither an IP address nor a host name`},
	{"SERVICE_80_CHECK_CMD='a",
		`SERVICE_80_CHECK_CMD="'a": the command cannot be split into words; a quote or a backslash at its end is left open`},
	{"SERVICE_80_CHECK_CMD=mysqladmin --password=hunter2 'a",
		`SERVICE_80_CHECK_CMD="mysqladmin --password=*** 'a": the command cannot be split into words; a quote or a backslash at its end is left open`},
	{"SERVICE_80_CHECK_CMD= ",
		`SERVICE_80_CHECK_CMD=" ": the command is empty`},
	{"SERVICE_80_CHECK_SCRIPT= ",
		`SERVICE_80_CHECK_SCRIPT=" ": the script is empty`},
	{"SERVICE_80_CHECK_SCRIPT=" + strings.Repeat("x", 65537),
		`SERVICE_80_CHECK_SCRIPT="` + strings.Repeat("x", 80) + `...": the script is too long; expected at most 65536 bytes; put it into a file`},
	{"SERVICE_80_CHECK_TTL=30",
		`SERVICE_80_CHECK_TTL="30": a number without a unit; expected a duration from 1s to 24h; write 30s for seconds or 30ms for milliseconds`},
	{"SERVICE_80_CHECK_GRPC=true\nSERVICE_80_CHECK_GRPC_USE_TLS=x",
		`SERVICE_80_CHECK_GRPC_USE_TLS="x": there is no such choice; expected true or false`},
	{"SERVICE_80_CHECK_GRPC=true\nSERVICE_80_CHECK_GRPC_SERVICE=a b",
		`SERVICE_80_CHECK_GRPC_SERVICE="a b": this is no name of a service; expected at most 255 bytes without spaces; such as shop.v1.Cart`},
	{"SERVICE_80_CHECK_TCP=true\nSERVICE_80_CHECK_INTERVAL=1ms",
		`SERVICE_80_CHECK_INTERVAL="1ms": the duration is out of range; expected a duration from 100ms to 24h`},
	{"SERVICE_80_CHECK_TCP=true\nSERVICE_80_CHECK_TIMEOUT=2h",
		`SERVICE_80_CHECK_TIMEOUT="2h": the duration is out of range; expected a duration from 10ms to 1h`},
	{"SERVICE_80_CHECK_TCP=true\nSERVICE_80_CHECK_RISE=0",
		`SERVICE_80_CHECK_RISE="0": this is not such a number; expected a number from 1 to 100`},
	{"SERVICE_80_CHECK_TCP=true\nSERVICE_80_CHECK_FALL=101",
		`SERVICE_80_CHECK_FALL="101": this is not such a number; expected a number from 1 to 100`},
	{"SERVICE_80_CHECK_TCP=true\nSERVICE_80_CHECK_INITIAL_STATUS=pasing",
		`SERVICE_80_CHECK_INITIAL_STATUS="pasing": there is no such choice; expected passing, warning or critical; did you mean passing?`},
	{"SERVICE_80_CHECK_TCP=true\nSERVICE_80_CHECK_DEREGISTER_AFTER=0s",
		`SERVICE_80_CHECK_DEREGISTER_AFTER="0s": the duration is out of range; expected a duration from 1s to 720h`},
	// Said of all ports, it is one mistake.
	{"SERVICE_CHECK_TTL=1\nSERVICE_80_NAME=a\nSERVICE_81_NAME=b",
		`SERVICE_CHECK_TTL="1": a number without a unit; expected a duration from 1s to 24h; write 1s for seconds or 1ms for milliseconds`},
	{"SERVICE_ADVERTISE=8080",
		`SERVICE_ADVERTISE="8080": it must name a port; expected SERVICE_<port>_ADVERTISE; or set CLEAT_ADVERTISE for all ports`},

	// Requirements.
	{"CLEAT_REQUIRE_DB=my sql",
		`CLEAT_REQUIRE_DB="my sql": the name "my sql" has ' ' in it; expected letters, digits, '-' and '_'`},
	{"CLEAT_REQUIRE_DB=?tag=x",
		`CLEAT_REQUIRE_DB="?tag=x": the name is empty; expected letters, digits, '-' and '_'`},
	{"CLEAT_REQUIRE_DB=mysql://bob:hunter2@db/blog",
		`CLEAT_REQUIRE_DB="mysql://bob:***@db/blog": this is a URL; expected <service>[?filter]; name the service, such as mysql?tag=primary; an address of its own goes into fallback=`},
	{"CLEAT_REQUIRE_DB=mysql?tag=a;b",
		`CLEAT_REQUIRE_DB="mysql?tag=a;b": what follows the '?' is not a URL query; expected key=value&key=value; write %3B for ';', %26 for '&', %25 for '%' and %2B for '+'`},
	{"CLEAT_REQUIRE_DB=mysql?mni=2",
		`CLEAT_REQUIRE_DB="mysql?mni=2": there is no parameter "mni"; did you mean min?`},
	{"CLEAT_REQUIRE_DB=mysql?frobnicate=2",
		`CLEAT_REQUIRE_DB="mysql?frobnicate=2": there is no parameter "frobnicate"; expected ns, tag, attr.<name>, zone, min, prefer, limit, wait, optional, fallback, on-loss`},
	{"CLEAT_REQUIRE_DB=mysql?service=x",
		`CLEAT_REQUIRE_DB="mysql?service=x": there is no parameter "service"; expected ns, tag, attr.<name>, zone, min, prefer, limit, wait, optional, fallback, on-loss`},
	{"CLEAT_REQUIRE_DB=mysql?self=true",
		`CLEAT_REQUIRE_DB="mysql?self=true": self= is no parameter; the container's own service is required by the name self: self?service=<service>`},
	{"CLEAT_REQUIRE_DB=mysql?ns=a&ns=b",
		`CLEAT_REQUIRE_DB="mysql?ns=a&ns=b": "ns" is there more than once`},
	{"CLEAT_REQUIRE_DB=mysql?ns=A//",
		`CLEAT_REQUIRE_DB="mysql?ns=A//": the namespace "a//" is not made of names joined by '/': the name is empty; expected letters, digits, '-' and '_'`},
	{"CLEAT_REQUIRE_DB=mysql?zone=",
		`CLEAT_REQUIRE_DB="mysql?zone=": the name is empty; expected letters, digits, '-' and '_'`},
	{"CLEAT_REQUIRE_DB=mysql?tag=",
		`CLEAT_REQUIRE_DB="mysql?tag=": the tag "" is empty, longer than 255 bytes, or not printable`},
	{"CLEAT_REQUIRE_DB=mysql?attr.role=~(",
		"CLEAT_REQUIRE_DB=\"mysql?attr.role=~(\": attr.role is not a regular expression: error parsing regexp: missing closing ): `(`"},
	{"CLEAT_REQUIRE_DB=mysql?attr.token=~(hunter2",
		`CLEAT_REQUIRE_DB="mysql?attr.token=***": the filter is wrong; how is not shown, because it holds a secret`},
	{"CLEAT_REQUIRE_DB=mysql?min=0",
		`CLEAT_REQUIRE_DB="mysql?min=0": min= is not such a number; expected a number from 1 to 50000; say optional=true where none will do`},
	{"CLEAT_REQUIRE_DB=mysql?min=x",
		`CLEAT_REQUIRE_DB="mysql?min=x": min= is not such a number; expected a number from 1 to 50000`},
	{"CLEAT_REQUIRE_DB=mysql?min=1&min=2",
		`CLEAT_REQUIRE_DB="mysql?min=1&min=2": min= is there more than once; expected once`},
	{"CLEAT_REQUIRE_DB=mysql?limit=0",
		`CLEAT_REQUIRE_DB="mysql?limit=0": limit= is not such a number; expected a number from 1 to 50000`},
	{"CLEAT_REQUIRE_DB=mysql?prefer=region",
		`CLEAT_REQUIRE_DB="mysql?prefer=region": prefer= can only be zone; expected prefer=zone`},
	{"CLEAT_REQUIRE_DB=mysql?wait=5",
		`CLEAT_REQUIRE_DB="mysql?wait=5": wait=: a number without a unit; expected a duration from 100ms to 24h; write 5s for seconds or 5ms for milliseconds`},
	{"CLEAT_REQUIRE_DB=mysql?wait=0s",
		`CLEAT_REQUIRE_DB="mysql?wait=0s": wait=: the duration is out of range; expected a duration from 100ms to 24h`},
	{"CLEAT_REQUIRE_DB=mysql?wait=5s&optional=true",
		`CLEAT_REQUIRE_DB="mysql?wait=5s&optional=true": wait= and optional=true exclude each other; expected one of the two; an optional requirement waits 1s at most`},
	{"CLEAT_REQUIRE_DB=mysql?optional=maybe",
		`CLEAT_REQUIRE_DB="mysql?optional=maybe": optional= is neither true nor false; expected optional=true`},
	{"CLEAT_REQUIRE_DB=mysql?on-loss=holdd",
		`CLEAT_REQUIRE_DB="mysql?on-loss=holdd": on-loss=: there is no such choice; expected hold, stop or empty; did you mean hold?`},
	{"CLEAT_REQUIRE_DB=mysql?fallback=db",
		`CLEAT_REQUIRE_DB="mysql?fallback=db": fallback=: an endpoint has no port; expected fallback=host:port,...; such as db.example.org:3306`},
	{"CLEAT_REQUIRE_DB=mysql?fallback=",
		`CLEAT_REQUIRE_DB="mysql?fallback=": fallback=: an endpoint has no port; expected fallback=host:port,...; such as db.example.org:3306`},
	{"CLEAT_REQUIRE_DB=mysql?fallback=db:0",
		`CLEAT_REQUIRE_DB="mysql?fallback=db:0": fallback=: the port is wrong; expected a number from 1 to 65535`},
	{"CLEAT_REQUIRE_DB=mysql?fallback=d%20b:1",
		`CLEAT_REQUIRE_DB="mysql?fallback=d%20b:1": fallback=: "d b" is neither an IP address nor a host name; expected fallback=host:port,...`},
	{"CLEAT_REQUIRE_DB=mysql?fallback=::1:3306",
		`CLEAT_REQUIRE_DB="mysql?fallback=::1:3306": fallback=: an IPv6 address has no brackets; expected fallback=host:port,...; such as [2001:db8::1]:3306`},
	{"CLEAT_REQUIRE_DB=mysql?fallback=bob:hunter2@db:3306",
		`CLEAT_REQUIRE_DB="mysql?fallback=bob:***@db:3306": fallback=: an endpoint has a user in it; expected fallback=host:port,...`},
	{"CLEAT_REQUIRE_DB=mysql?fallback=db:1&on-loss=stop",
		`CLEAT_REQUIRE_DB="mysql?fallback=db:1&on-loss=stop": fallback= and on-loss= exclude each other; expected one of the two; the fallback is used when the service is lost`},
	{"CLEAT_REQUIRE_SELF=mysql",
		`CLEAT_REQUIRE_SELF="mysql": the alias "self" is reserved: it means something else in templates; choose another name, such as CLEAT_REQUIRE_SELF1`},
	{"CLEAT_REQUIRE_ENV=mysql",
		`CLEAT_REQUIRE_ENV="mysql": the alias "env" is reserved: it means something else in templates; choose another name, such as CLEAT_REQUIRE_ENV1`},
	{"CLEAT_REQUIRE_=mysql",
		`CLEAT_REQUIRE_="mysql": the alias is missing; expected CLEAT_REQUIRE_<ALIAS>; such as CLEAT_REQUIRE_DB`},
	{"CLEAT_REQUIRE_1=mysql",
		`CLEAT_REQUIRE_1="mysql": the alias "1" cannot be used; expected a letter, then letters, digits and '_', not at the end`},
	{"CLEAT_REQUIRE_DB_=mysql",
		`CLEAT_REQUIRE_DB_="mysql": the alias "db_" cannot be used; expected a letter, then letters, digits and '_', not at the end`},
	{"CLEAT_REQUIRE_MY-DB=mysql",
		`CLEAT_REQUIRE_MY-DB="mysql": the alias has a '-' in it; expected a letter, then letters, digits and '_', not at the end; write CLEAT_REQUIRE_MY_DB`},
	{"CLEAT_REQUIRE_" + strings.Repeat("X", 64) + "=mysql",
		`CLEAT_REQUIRE_XXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXXX="mysql": the alias is too long; expected at most 63 bytes`},
	{"CLEAT_REQUIRE_DB=mysql\nCLEAT_REQUIRE_db=mysql",
		`CLEAT_REQUIRE_db="mysql": it has the same alias as CLEAT_REQUIRE_DB; aliases are compared in lower case`},
	{"alone\nCLEAT_REQUIRE_DB=mysql",
		`CLEAT_REQUIRE_DB="mysql": nothing can be found without a discovery server; set CLEAT_SERVER, or say fallback=host:port`},
	{"alone\nCLEAT_REQUIRE_DB=mysql?optional=true",
		`CLEAT_REQUIRE_DB="mysql?optional=true": nothing can be found without a discovery server; set CLEAT_SERVER, or say fallback=host:port`},
	{"alone\nCLEAT_REQUIRE_RING=self\nSERVICE_80_NAME=x",
		`CLEAT_REQUIRE_RING="self": nothing can be found without a discovery server; set CLEAT_SERVER`},
	{"CLEAT_REQUIRE_RING=self",
		`CLEAT_REQUIRE_RING="self": self needs a port that the container declares; name one, such as SERVICE_80_NAME=web: a port found by listening comes too late`},
	{"CLEAT_REQUIRE_RING=self\nSERVICE_80_IGNORE=x",
		`CLEAT_REQUIRE_RING="self": self needs a port that the container declares; name one, such as SERVICE_80_NAME=web: a port found by listening comes too late`},
	{"CLEAT_REQUIRE_RING=self\nSERVICE_80_NAME=a\nSERVICE_81_NAME=b",
		`CLEAT_REQUIRE_RING="self": the container offers several services; expected self?service=<service>, one of a, b`},
	{"CLEAT_REQUIRE_RING=self?service=c\nSERVICE_80_NAME=a\nSERVICE_81_NAME=b",
		`CLEAT_REQUIRE_RING="self?service=c": the container does not offer "c"; expected one of a, b`},
	{"CLEAT_REQUIRE_RING=self?min=3\nSERVICE_80_NAME=a",
		`CLEAT_REQUIRE_RING="self?min=3": min= means nothing for self; leave it out`},
	{"CLEAT_REQUIRE_RING=self?tag=x\nSERVICE_80_NAME=a",
		`CLEAT_REQUIRE_RING="self?tag=x": the filter leaves out this container itself; self is about the nodes that this one is one of; leave the filter out`},
	{"CLEAT_REQUIRE_RING=self?frobnicate=x\nSERVICE_80_NAME=a",
		`CLEAT_REQUIRE_RING="self?frobnicate=x": there is no parameter "frobnicate"; expected ns, tag, attr.<name>, zone`},

	// Templates, texts and the command.
	{"CLEAT_TEMPLATE_WEB=/a",
		`CLEAT_TEMPLATE_WEB="/a": there is no destination; expected source:destination[:action]; such as /etc/nginx.tmpl:/etc/nginx/nginx.conf:HUP`},
	{"CLEAT_TEMPLATE_WEB=a:/b",
		`CLEAT_TEMPLATE_WEB="a:/b": this is not an absolute path; expected source:destination[:action], absolute paths`},
	{"CLEAT_TEMPLATE_WEB=/a:b",
		`CLEAT_TEMPLATE_WEB="/a:b": this is not an absolute path; expected source:destination[:action], absolute paths`},
	{"CLEAT_TEMPLATE_WEB=/a:/b/",
		`CLEAT_TEMPLATE_WEB="/a:/b/": the destination is a directory; expected source:destination[:action]; name the file; CLEAT_TEMPLATES is for directories`},
	{"CLEAT_TEMPLATE_WEB=/a:/x/../a",
		`CLEAT_TEMPLATE_WEB="/a:/x/../a": the source and the destination are the same file; expected source:destination[:action]`},
	{"CLEAT_TEMPLATE_WEB=/a:/b:",
		`CLEAT_TEMPLATE_WEB="/a:/b:": the action is empty; expected restart, none, a signal or a command`},
	{"CLEAT_TEMPLATE_WEB=/a:/b:HPU",
		`CLEAT_TEMPLATE_WEB="/a:/b:HPU": there is no signal "HPU"; did you mean HUP?; expected restart, none, a signal or a command; a command of that name is written with its path`},
	{"CLEAT_TEMPLATE_WEB=/a:/b:x 'y",
		`CLEAT_TEMPLATE_WEB="/a:/b:x 'y": the command cannot be split into words; expected restart, none, a signal or a command; a quote or a backslash at its end is left open`},
	{"CLEAT_TEMPLATE_=/a:/b",
		`CLEAT_TEMPLATE_="/a:/b": the name of the template cannot be used; expected a letter, then letters, digits and '_', at most 63`},
	{"CLEAT_TEMPLATE_1=/a:/b",
		`CLEAT_TEMPLATE_1="/a:/b": the name of the template cannot be used; expected a letter, then letters, digits and '_', at most 63`},
	{"CLEAT_TEMPLATE_A=/a:/b\nCLEAT_TEMPLATE_a=/a:/c",
		`CLEAT_TEMPLATE_a="/a:/c": there are two templates of that name; names are compared in lower case`},
	{"CLEAT_TEMPLATE_A=/a:/b\nCLEAT_TEMPLATE_B=/c:/b",
		`CLEAT_TEMPLATE_B="/c:/b": it has the same destination as CLEAT_TEMPLATE_A`},
	{"CLEAT_TEMPLATE_WEB_MODE=0640",
		`CLEAT_TEMPLATE_WEB_MODE="0640": it is an option of CLEAT_TEMPLATE_WEB, which there is not; set CLEAT_TEMPLATE_WEB=source:destination`},
	{"CLEAT_TEMPLATE_WEB=/a\nCLEAT_TEMPLATE_WEB_MODE=0640",
		`CLEAT_TEMPLATE_WEB="/a": there is no destination; expected source:destination[:action]; such as /etc/nginx.tmpl:/etc/nginx/nginx.conf:HUP`},
	{"CLEAT_TEMPLATE_WEB=/a:/b\nCLEAT_TEMPLATE_WEB_MODE=rw",
		`CLEAT_TEMPLATE_WEB_MODE="rw": this is no mode; expected an octal number from 000 to 0777; such as 0640`},
	{"CLEAT_TEMPLATE_WEB=/a:/b\nCLEAT_TEMPLATE_WEB_MODE=4755",
		`CLEAT_TEMPLATE_WEB_MODE="4755": this is no mode; expected an octal number from 000 to 0777; such as 0640`},
	{"CLEAT_TEMPLATE_WEB=/a:/b\nCLEAT_TEMPLATE_WEB_OWNER=a b",
		`CLEAT_TEMPLATE_WEB_OWNER="a b": this is no owner; expected user or user:group, names or numbers; such as 1000:1000 or www-data`},
	{"CLEAT_TEMPLATE_WEB=/a:/b\nCLEAT_TEMPLATE_WEB_SETTLE=5",
		`CLEAT_TEMPLATE_WEB_SETTLE="5": a number without a unit; expected a duration from 0s to 1m; write 5s for seconds or 5ms for milliseconds`},
	{"CLEAT_TEMPLATE_WEB=/a:/b\nCLEAT_TEMPLATE_WEB_SETTLE=5m",
		`CLEAT_TEMPLATE_WEB_SETTLE="5m": the duration is out of range; expected a duration from 0s to 1m`},
	{"CLEAT_TEMPLATE_WEB=/a:/b\nCLEAT_TEMPLATE_WEB_CHECK=nginx -t",
		`CLEAT_TEMPLATE_WEB_CHECK="nginx -t": the check does not look at the staged file; expected a command with {{staged}}; such as nginx -t -c {{staged}}`},
	{"CLEAT_TEMPLATE_WEB=/a:/b\nCLEAT_TEMPLATE_WEB_CHECK=nginx -t {{ staged }}",
		`CLEAT_TEMPLATE_WEB_CHECK="nginx -t {{ staged }}": the check does not look at the staged file; expected a command with {{staged}}; write it without spaces and in small letters`},
	{"CLEAT_TEMPLATE_WEB=/a:/b\nCLEAT_TEMPLATE_WEB_CHECK='{{staged}}",
		`CLEAT_TEMPLATE_WEB_CHECK="'{{staged}}": the command cannot be split into words; a quote or a backslash at its end is left open`},
	{"CLEAT_ENV_=x",
		`CLEAT_ENV_: the name behind CLEAT_ENV_ cannot be a variable's; expected letters, digits and '_', no digit first`},
	{"CLEAT_ENV_1X=x",
		`CLEAT_ENV_1X: the name behind CLEAT_ENV_ cannot be a variable's; expected letters, digits and '_', no digit first`},
	{"CLEAT_ENV_A-B=x",
		`CLEAT_ENV_A-B: the name behind CLEAT_ENV_ cannot be a variable's; expected letters, digits and '_', no digit first`},
	{"CLEAT_ENV_PASSWORD=hunter2 {{db.addr}}",
		`CLEAT_ENV_PASSWORD: 1:11: there is no alias "db"; no alias is declared`},
	{"CLEAT_REQUIRE_DB=mysql\nCLEAT_ENV_X={{db.adr}}",
		`CLEAT_ENV_X: 1:3: an endpoint has no field "adr"; did you mean addr?`},
}

// numbers is a list of n different words.
func numbers(n int) string {
	words := make([]string, n)
	for i := range words {
		words[i] = strings.Repeat("x", i+1)
	}
	return strings.Join(words, ",")
}

func environOf(text string) []string {
	lines := strings.Split(text, "\n")
	if lines[0] == "alone" {
		return lines[1:]
	}
	return append(lines, server)
}

func TestMistakes(t *testing.T) {
	for _, m := range slices.Concat(mistakes, commandMistakes) {
		t.Run(shorten(m.environ), func(t *testing.T) {
			_, err := Parse(environOf(m.environ), []string{"app"}, testHost)
			if err == nil {
				t.Fatal("it was taken")
			}
			if got := err.Error(); got != m.want {
				t.Errorf("got\n%s\nwant\n%s", got, m.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Error("the message holds a secret")
			}
			if n := len(Errors(err)); n != 1 {
				t.Errorf("one mistake, %d errors", n)
			}
		})
	}
}

// Everything that can be wrong in a variable has a test for its message: at
// least one for each variable of the table in which something can be.
func TestEveryVariableHasAMistake(t *testing.T) {
	part := regexp.MustCompile(`<[a-zA-Z]+>`)
	all := slices.Concat(mistakes, commandMistakes)
	for _, v := range Variables() {
		name := part.ReplaceAllString(regexp.QuoteMeta(v.Name), `[A-Za-z0-9_]*?`)
		message := regexp.MustCompile(`(?m)^` + name + `(=".*)?: (there is no such variable)?`)
		tested := slices.ContainsFunc(all, func(m struct{ environ, want string }) bool {
			found := message.FindStringSubmatch(m.want)
			return found != nil && found[2] == ""
		})
		if anything := strings.HasPrefix(v.Accepts, "anything") || strings.Contains(v.Accepts, "anything else"); tested == anything {
			t.Errorf("%s accepts %s; it has a test of a mistake: %v", v.Name, v.Accepts, tested)
		}
	}
}

// TestTooMuch has one of each thing of which there can be too many.
func TestTooMuch(t *testing.T) {
	series := func(n int, format string) string {
		lines := make([]string, n)
		for i := range lines {
			lines[i] = fmt.Sprintf(format, i+1)
		}
		return strings.Join(lines, "\n")
	}
	list := func(n int, format string) string { return strings.ReplaceAll(series(n, format), "\n", ",") }
	for _, test := range []struct{ environ, want string }{
		{"alone\nCLEAT_SERVER=" + list(33, "http://cleatd:%d"), "the list is too long; expected at most 32 servers"},
		{"CLEAT_ADVERTISE=" + list(33, "eth%d"), "the list has 33 specs; at most 32 are allowed"},
		{series(257, "SERVICE_%d_NAME=x"), "SERVICE_: there are 257 ports; expected at most 256"},
		{series(65, "SERVICE_X%d=x"), "SERVICE_: there are 65 attributes; expected at most 64"},
		{series(65, "SERVICE_80_X%d=x"), "SERVICE_80_: there are 65 attributes; expected at most 64"},
		{series(60, "SERVICE_X%d=x") + "\n" + series(5, "SERVICE_53_UDP_Y%d=x"), "SERVICE_53_UDP_: there are 65 attributes; expected at most 64"},
		{series(257, "CLEAT_REQUIRE_A%d=mysql"), "CLEAT_REQUIRE_: there are 257 requirements; expected at most 256"},
		{"CLEAT_REQUIRE_DB=mysql?fallback=" + list(65, "db:%d"), "fallback=: there are too many endpoints; expected at most 64"},
		{series(1025, "CLEAT_TEMPLATE_A%[1]d=/a:/b/%[1]d"), "CLEAT_TEMPLATE_: there are 1025 templates; expected at most 1024"},
		{series(65, "CLEAT_VOLUME_A%[1]d=/a%[1]d"), "CLEAT_VOLUME_: there are 65 volumes; expected at most 64"},
		{series(65, "CLEAT_NETWORK_A%d=ethwe"), "CLEAT_NETWORK_: there are 65 networks; expected at most 64"},
		{series(65, "CLEAT_COPROCESS_A%d=x"), "CLEAT_COPROCESS_: there are 65; expected at most 64"},
		{series(65, "CLEAT_TASK_A%d=@daily x"), "CLEAT_TASK_: there are 65; expected at most 64"},
		{"CLEAT_HOOK_PRE_STOP=true " + strings.Repeat("x", 64<<10), "the command is too long; expected at most 65536 bytes"},
		{"CLEAT_ON_CHANGE=true " + strings.Repeat("x", 64<<10), "the command is too long; expected at most 65536 bytes"},
	} {
		t.Run(shorten(test.want), func(t *testing.T) {
			_, err := Parse(environOf(test.environ), []string{"app"}, testHost)
			if err == nil {
				t.Fatal("it was taken")
			}
			if !strings.Contains(err.Error(), test.want) || len(Errors(err)) != 1 {
				t.Errorf("got\n%s\nwant\n%s", err, test.want)
			}
			if len(err.Error()) > 2000 {
				t.Errorf("the message is %d bytes long", len(err.Error()))
			}
		})
	}
}

func TestNoCommand(t *testing.T) {
	_, err := Parse(nil, nil, testHost)
	const want = "the command: there is none; write it after cleat run, as in: cleat run -- nginx -g 'daemon off;'"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// TestMistakesInTheCommand has placeholders of declared aliases that are wrong.
func TestMistakesInTheCommand(t *testing.T) {
	command := []string{"app", "{{other.addr}}", "hunter2{{db.adr}}", "{{db.x}}{{db.y}}"}
	_, err := Parse([]string{server, "CLEAT_REQUIRE_DB=mysql"}, command, testHost)
	if err == nil {
		t.Fatal("it was taken")
	}
	text := err.Error()
	if n := len(Errors(err)); n != 3 || !strings.HasPrefix(text, `argument 2: 1:10: an endpoint has no field "adr"`) {
		t.Errorf("%d errors:\n%s", n, text)
	}
	if strings.Contains(text, "hunter2") {
		t.Error("the message holds a value")
	}
}

// TestTogether has mistakes of every sort at once: all are reported, and none
// of them brings others with it.
func TestTogether(t *testing.T) {
	environ := []string{
		"CLEAT_SERVER=cleatd", "CLEAT_NAMESPACE=a//b", "CLEAT_DRAIN=5", "CLEAT_REQUIRE_DB=mysql?min=x&wait=5",
		"CLEAT_REQUIRE_CACHE=redis", "CLEAT_ENV_URL={{db.addr}}", "CLEAT_TEMPLATE_WEB=/a", "CLEAT_TEMPLATE_WEB_MODE=rw",
		"SERVICE_80_NAME=a b", "CLEAT_TYPO=1",
	}
	_, err := Parse(environ, []string{"app", "{{db.addr}}"}, testHost)
	var variables []string
	for _, e := range Errors(err) {
		variables = append(variables, e.Variable)
	}
	want := []string{
		"CLEAT_SERVER", "CLEAT_NAMESPACE", "CLEAT_DRAIN", "SERVICE_80_NAME", "CLEAT_REQUIRE_DB", "CLEAT_REQUIRE_DB",
		"CLEAT_TEMPLATE_WEB", "CLEAT_TEMPLATE_WEB_MODE", "CLEAT_TYPO",
	}
	if !slices.Equal(variables, want) {
		t.Errorf("got\n%q\nwant\n%q\n%v", variables, want, err)
	}
}
