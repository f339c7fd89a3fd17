"""A key in front of a rented machine's model server.

Ollama asks for no credential, and the provider maps its port to a public address. So the machine's start script
puts a small proxy in front. It is written in Perl: the image is an Ubuntu, of which `perl-base` is an essential
package, and has neither Python nor curl (https://github.com/ollama/ollama/blob/main/Dockerfile,
https://packages.ubuntu.com/noble/perl-base). Ollama itself listens on loopback. The order's variables say so too,
so a machine that does not run the script is closed, and not open.

The provider's listings show an order's variables in clear. The machine gets the key's SHA-256 alone, so what is
listed opens nothing.
"""

import gzip
import re
import secrets
from base64 import b64encode
from functools import cache
from hashlib import sha256

from rune.rentals.provider import Template

PORT = 11434
"""Ollama's own, which the provider maps (https://github.com/ollama/ollama/blob/main/docs/faq.mdx)."""

INNER_PORT = 11435
"""Where Ollama listens behind the proxy, on loopback."""

DIGEST_VARIABLE = "RUNE_KEY_SHA256"
HOST_VARIABLE = "OLLAMA_HOST"

_KEY_BYTES = 32
"""43 characters: the proxy hashes one block, which holds at most 55."""

# One process reads the heads of requests, with a limit for each, so strangers cost no process. A request with the
# key gets a process of its own and a connection to Ollama that serves this one request: `Connection: close` is
# said, and no more than the body of the request is passed on. `Host` is replaced, since on loopback Ollama refuses
# other names (allowedHostsMiddleware in https://github.com/ollama/ollama/blob/main/server/routes.go).
PROXY = r"""
use Socket qw(:DEFAULT IPPROTO_TCP TCP_NODELAY);
my ($port, $inner) = @ARGV;
my $want = pack "H*", $ENV{RUNE_KEY_SHA256};
die "guard: no key\n" if length $want != 32;

# SHA-256 (FIPS 180-4) of one block; perl-base has no module for it.
my (@k, @h);
for (my $n = 2; @k < 64; $n++) {
  next if grep { $n % $_ == 0 } 2 .. sqrt $n;
  push @k, fraction($n ** (1 / 3));
  push @h, fraction(sqrt $n) if @h < 8;
}
sub fraction { int(($_[0] - int $_[0]) * 2 ** 32) }
sub turn { ($_[0] >> $_[1] | $_[0] << 32 - $_[1]) & 0xffffffff }
sub sha256 {
  my ($text) = @_;
  my @w = unpack "N16", pack "a56 N2", "$text\x80", 0, 8 * length $text;
  my @s = @h;
  for my $i (0 .. 63) {
    if ($i > 15) {
      my ($x, $y) = @w[$i - 15, $i - 2];
      $w[$i] = $w[$i - 16] + $w[$i - 7] + (turn($x, 7) ^ turn($x, 18) ^ $x >> 3)
        + (turn($y, 17) ^ turn($y, 19) ^ $y >> 10) & 0xffffffff;
    }
    my ($a, $b, $c, $d, $e, $f, $g) = @s;
    my $t = $s[7] + (turn($e, 6) ^ turn($e, 11) ^ turn($e, 25)) + ($e & $f ^ ~$e & $g) + $k[$i] + $w[$i];
    my $u = (turn($a, 2) ^ turn($a, 13) ^ turn($a, 22)) + ($a & $b ^ $a & $c ^ $b & $c);
    @s = ($t + $u & 0xffffffff, $a, $b, $c, $d + $t & 0xffffffff, $e, $f, $g);
  }
  pack "N8", map { $s[$_] + $h[$_] & 0xffffffff } 0 .. 7;
}
# The time that this takes tells nothing of the key: all bytes are compared.
sub is_key { length $_[0] < 56 && unpack("%32C*", sha256($_[0]) ^ $want) == 0 }

# The status of a refusal, or 0, the head to send on, and the length of the body: -1 if it comes in chunks.
sub judge {
  my ($head) = @_;
  return 400 if $head =~ /[^\t\r\n -~\x80-\xff]|\r(?!\n)|(?<!\r)\n/;
  my ($line, @fields) = split /\r\n/, $head;
  my (@keys, @on, $length, $chunked);
  for (@fields) {
    /^([A-Za-z0-9_-]+):[ \t]*(.*?)[ \t]*$/ or return 400;
    my ($name, $value) = (lc $1, $2);
    if ($name eq "authorization") { push @keys, $value =~ /^Bearer (\S+)$/i; next }
    next if $name =~ /^(host|connection|keep-alive|upgrade|te|trailer|proxy-.*)$/;
    if ($name eq "content-length") {
      return 400 if defined $length || $value !~ /^\d{1,15}$/;
      $length = $value;
    }
    if ($name eq "transfer-encoding") {
      return 400 if $chunked++ || lc $value ne "chunked";
    }
    push @on, "$name: $value";
  }
  return 401 unless @keys == 1 && is_key($keys[0]);
  return 400 if $chunked && defined $length || $line !~ m{^[A-Z]+ /\S* HTTP/1\.[01]$};
  (0, join("\r\n", $line, "host: 127.0.0.1:$inner", "connection: close", @on) . "\r\n\r\n",
    $chunked ? -1 : $length || 0);
}

sub refuse {
  my ($s, $status) = @_;
  my $body = "{\"error\":\"guard: $status\"}";
  send $s, "HTTP/1.1 $status Refused\r\nContent-Type: application/json\r\nContent-Length: " . length($body)
    . "\r\nConnection: close\r\nWWW-Authenticate: Bearer\r\n\r\n$body", MSG_DONTWAIT;
  shutdown $s, 1;
}

sub put {
  my ($s, $data) = @_;
  for (my $at = 0; $at < length $data;) { $at += syswrite($s, $data, 65536, $at) || exit }
}

# What the other side still sends is read for a moment: closed at once, its answer could be lost.
sub finish {
  my ($s) = @_;
  shutdown $s, 1;
  alarm 2;
  1 while sysread $s, my $rest, 65536;
  exit;
}

sub serve {
  my ($s, $head, $left, $rest) = @_;
  socket my $u, PF_INET, SOCK_STREAM, 0;
  unless (connect $u, sockaddr_in($inner, INADDR_LOOPBACK)) { refuse($s, 502); finish($s) }
  setsockopt $_, IPPROTO_TCP, TCP_NODELAY, 1 for $s, $u;
  setsockopt $s, SOL_SOCKET, SO_KEEPALIVE, 1;
  my $limit = sub {
    return $_[0] if $left < 0;
    my $part = substr $_[0], 0, $left;
    $left -= length $part;
    $part;
  };
  put($u, $head . $limit->($rest));
  my $sends = 1;
  for (;;) {
    my $ready = "";
    vec($ready, fileno $u, 1) = 1;
    vec($ready, fileno $s, 1) = 1 if $sends;
    next if select($ready, undef, undef, undef) < 1;
    if ($sends && vec $ready, fileno $s, 1) {
      my $n = sysread $s, my $data, 65536;
      exit unless defined $n;
      if ($n) { put($u, $limit->($data)) } else { shutdown $u, 1; $sends = 0 }
    }
    if (vec $ready, fileno $u, 1) {
      sysread $u, my $data, 65536 or finish($s);
      put($s, $data);
    }
  }
}

$SIG{PIPE} = $SIG{CHLD} = "IGNORE";
socket my $door, PF_INET, SOCK_STREAM, 0;
setsockopt $door, SOL_SOCKET, SO_REUSEADDR, 1;
bind($door, sockaddr_in($port, INADDR_ANY)) && listen($door, 128) or die "guard: $!\n";
# Each is a socket, what has come, until when it is waited for, and whether it is refused.
my %waiting;
for (;;) {
  my $ready = "";
  vec($ready, $_, 1) = 1 for fileno $door, keys %waiting;
  next if select($ready, undef, undef, 1) < 0;
  my $now = time;
  for my $id (keys %waiting) {
    my $c = $waiting{$id};
    my $s = $c->[0];
    if (vec $ready, $id, 1) {
      my $got = recv $s, my $data, 8192, MSG_DONTWAIT;
      if (!defined $got || $data eq "") { delete $waiting{$id}; next }
      $c->[1] .= $data;
      my $end = index $c->[1], "\r\n\r\n";
      my $size = length $c->[1];
      if ($c->[3]) { delete $waiting{$id} if $size > 1e6; next }
      next if $end < 0 && $size < 16384 && $now <= $c->[2];
      my ($status, $head, $left) = $end < 0 ? $size < 16384 ? 408 : 431 : judge(substr $c->[1], 0, $end);
      if (!$status) {
        delete $waiting{$id};
        next if fork // 1;
        close $door;
        %waiting = ();
        serve($s, $head, $left, substr $c->[1], $end + 4);
      }
      refuse($s, $status);
      @$c[2, 3] = ($now + 2, 1);
    }
    next if $now <= $c->[2];
    refuse($s, 408) unless $c->[3];
    delete $waiting{$id};
  }
  if (vec $ready, fileno $door, 1) {
    if (keys %waiting >= 200) {
      my ($oldest) = sort { $waiting{$a}[2] <=> $waiting{$b}[2] } keys %waiting;
      delete $waiting{$oldest};
    }
    if (accept my $s, $door) { $waiting{fileno $s} = [$s, "", $now + 10] }
  }
}
"""

_SCRIPT = """\
guard=$(echo {packed} | base64 -d | gzip -dc)
if [ -z "$guard" ] || ! perl -MSocket -e 1; then echo "{refusal}"; exit 1; fi
while :; do perl -e "$guard" {port} {inner_port}; sleep 1; done &
export {host_variable}=127.0.0.1:{inner_port}
{start}"""

REFUSAL = "rune: nothing here can guard the server, so it is not started"
"""What the script writes to the container's log where the image lacks what the proxy needs."""


def make_key() -> str:
    """Return a fresh random key for one rental; never a user's, since it travels without TLS."""
    return secrets.token_urlsafe(_KEY_BYTES)


def make_environment(key: str) -> dict[str, str]:
    """Return the variables of a guarded machine, which do not tell the key."""
    return {
        HOST_VARIABLE: f"127.0.0.1:{INNER_PORT}",
        DIGEST_VARIABLE: sha256(key.encode()).hexdigest(),
    }


def guard_start(start: str, *, port: int = PORT, inner_port: int = INNER_PORT) -> str:
    """Return the shell commands that start a server behind the proxy, or nothing at all where there is no Perl.

    Parameters
    ----------
    start
        The server's own command. It finds the address on which it is to listen in `OLLAMA_HOST`.
    """
    return _SCRIPT.format(
        packed=_pack(PROXY),
        port=port,
        inner_port=inner_port,
        host_variable=HOST_VARIABLE,
        start=start,
        refusal=REFUSAL,
    )


def fits(template: Template | None) -> bool:
    """Return whether the machine can be guarded: what a caller's template starts is left as it is."""
    return template is None


@cache
def _pack(program: str) -> str:
    """Return a program without comments and indentation, and compressed.

    An order has 4,096 characters for all that its machine runs (vast-ai/docs, create_instance).
    """
    short = re.sub(r"^(?:\s+|#.*\n)+", "", program, flags=re.MULTILINE).strip()
    # Without a time, so that the script itself is the same for every rental.
    return b64encode(gzip.compress(short.encode(), mtime=0)).decode()
