"""Generated requests: valid ones, and those with one thing wrong.

Each has the names of what was done to it, its bytes, and what a server that
follows RFC 9110 and 9112 makes of it: the method, target and body, or None if
it has to refuse it.  A fixed seed gives the same requests on each machine.
"""
import random

TOKEN = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~"
METHODS = [b'GET', b'POST', b'PUT', b'PATCH', b'DELETE']


class Request:
    """The parts of a request, each with what ends its line."""

    def __init__(self, rng, target, number):
        self.rng = rng
        self.names = []
        self.is_bad = False
        self.method = rng.choice(METHODS)
        self.target = target + rng.choice([b'', b'?a=1', b'?q=%20&b', b'?' + word(rng)])
        self.version = b'HTTP/1.1'
        self.headers = [(b'Host', b' ', b'test'), (b'X-Case', b' ', b'%d' % number)]
        self.body = bytes(rng.randrange(256) for _ in range(rng.choice([0, 0, 1, 5, 40])))
        self.raw_body = self.body
        self.is_chunked = False
        self.eol = {}
        self.between = b' ', b' '
        for _ in range(rng.randrange(4)):
            self.add(b'X-' + word(rng), rng.choice([b' ', b'', b'\t', b'  ']) , value(rng))
        kind = rng.randrange(3)
        if kind == 1 or (kind == 0 and self.body):
            self.add(b'Content-Length', b' ', b'%d' % len(self.body))
        elif kind == 2:
            self.is_chunked = True
            self.add(rng.choice([b'Transfer-Encoding', b'transfer-encoding']), b' ', rng.choice([b'chunked', b'Chunked']))
            self.chunk()

    def add(self, name, blank, text, at=None):
        """Add a header, somewhere."""
        if at is None:
            at = self.rng.randrange(len(self.headers) + 1)
        self.headers.insert(at, (name, blank, text))

    def find(self, name):
        """The place of a header, or None."""
        for i, header in enumerate(self.headers):
            if header[0].lower() == name:
                return i
        return None

    def chunk(self):
        """Cut the body into chunks."""
        self.chunks, at = [], 0
        while at < len(self.body):
            size = self.rng.randrange(1, len(self.body) - at + 1)
            self.chunks.append([b'%x' % size, b'\r\n', self.body[at:at + size], b'\r\n'])
            at += size
        self.last = [b'0', b'\r\n']
        self.trailers = b'\r\n'

    def bytes(self):
        """What is sent."""
        lines = [self.method + self.between[0] + self.target + self.between[1] + self.version]
        lines += [name + b':' + blank + text for name, blank, text in self.headers]
        lines.append(b'')
        out = b''.join(line + self.eol.get(i, b'\r\n') for i, line in enumerate(lines))
        if not self.is_chunked:
            return out + self.raw_body
        return out + b''.join(b''.join(c) for c in self.chunks) + b''.join(self.last) + self.trailers


def word(rng):
    """A token."""
    return ''.join(rng.choice(TOKEN) for _ in range(rng.randrange(1, 9))).replace('#', 'x').encode()


def value(rng):
    """What a header may have as its value, without blanks around it."""
    return rng.choice([b'', b'a', b'a b', b'a\tb', b'"q"', b'a: b', b'\xc3\xa9', b'\x80\xff', word(rng)])


# ----- what is done to a request: the name, is it wrong, how

CHANGES = []


def change(is_bad):
    """Note a function of a request that changes it, or returns False."""
    def note(function):
        CHANGES.append((function.__name__, is_bad, function))
        return function
    return note


@change(True)
def lf_alone(r):
    r.eol[r.rng.randrange(len(r.headers) + 2)] = b'\n'


@change(True)
def cr_alone(r):
    r.eol[r.rng.randrange(len(r.headers) + 2)] = b'\r'


@change(True)
def two_cr(r):
    r.eol[r.rng.randrange(len(r.headers) + 2)] = b'\r\r\n'


@change(True)
def control_in_value(r):
    c = bytes([r.rng.choice([0, 1, 7, 8, 11, 12, 13, 27, 31, 127])])
    r.add(b'X-Control', b' ', b'a' + c + b'b')


@change(True)
def control_in_name(r):
    c = bytes([r.rng.choice([0, 1, 9, 13, 31, 127, 128, 255])])
    r.add(b'X-C' + c, b' ', b'a')


@change(True)
def separator_in_name(r):
    c = bytes([r.rng.choice(b'"(),/;<=>?@[\\]{} ')])
    r.add(b'X-S' + c + b'p', b' ', b'a')


@change(True)
def space_before_colon(r):
    i = r.rng.randrange(len(r.headers))
    name, blank, text = r.headers[i]
    r.headers[i] = (name + r.rng.choice([b' ', b'\t']), blank, text)


@change(True)
def folded(r):
    i = r.rng.randrange(1, len(r.headers) + 1)
    name, blank, text = r.headers[i - 1]
    r.headers[i - 1] = (name, blank, text + b'\r\n' + r.rng.choice([b' ', b'\t']) + b'folded')


@change(True)
def nameless(r):
    r.add(b'', b' ', b'a')


@change(True)
def no_colon(r):
    i = r.rng.randrange(1, len(r.headers) + 1)
    r.eol[i] = r.eol.get(i, b'\r\n') + b'no-colon\r\n'


@change(True)
def length_twice(r):
    i = r.find(b'content-length')
    if i is None:
        return False
    r.add(b'Content-Length', b' ', r.rng.choice([r.headers[i][2], b'0', b'1', b'77']))


@change(True)
def length_odd(r):
    i = r.find(b'content-length')
    if i is None:
        return False
    n = r.headers[i][2]
    r.headers[i] = (r.headers[i][0], b' ', r.rng.choice([
        b'+' + n, b'-' + n, b'0x' + n, n + b'.0', n + b',' + n, n + b', ' + n, n + b' ' + n, b'"' + n + b'"', b'', n + b'a',
        b'18446744073709551616' + n, n + b';a']))


@change(True)
def length_and_chunks(r):
    if not r.is_chunked:
        return False
    r.add(b'Content-Length', b' ', b'%d' % r.rng.choice([0, 1, len(r.body)]))


@change(True)
def encoding_odd(r):
    i = r.find(b'transfer-encoding')
    if i is None:
        return False
    r.headers[i] = (r.headers[i][0], b' ', r.rng.choice([
        b'', b'identity', b'gzip', b'gzip, chunked', b'chunked, gzip', b'chunked, chunked', b'xchunked', b'chunkedx', b'"chunked"',
        b'chunked;a=b', b'chunked,', b',chunked', b'\x0bchunked', b'chun ked']))


@change(True)
def encoding_twice(r):
    if not r.is_chunked:
        return False
    r.add(b'Transfer-Encoding', b' ', r.rng.choice([b'chunked', b'identity', b'gzip']))


@change(True)
def chunks_in_1_0(r):
    if not r.is_chunked:
        return False
    r.version = b'HTTP/1.0'


@change(True)
def no_host(r):
    r.headers = [header for header in r.headers if header[0].lower() != b'host']


@change(True)
def two_hosts(r):
    r.add(b'Host', b' ', r.rng.choice([b'test', b'other']))


@change(True)
def host_odd(r):
    i = r.find(b'host')
    if i is None:
        return False
    r.headers[i] = (b'Host', b' ', r.rng.choice([b'a b', b'a/b', b'a@b', b'a?b', b'a#b', b'a\\b', b'<a>', b'a"b', b'\xe9']))


@change(True)
def version_odd(r):
    r.version = r.rng.choice([b'HTTP/1', b'HTTP/1.', b'HTTP/1.10', b'HTTP/01.1', b'HTTP/1.1 ', b'http/1.1', b'HTTP/1,1', b'HTP/1.1',
                              b'HTTP /1.1', b'HTTP/a.b', b'', b'HTTPS/1.1', b'ICE/1.1', b'RTSP/1.1'])


@change(True)
def version_other(r):
    r.version = r.rng.choice([b'HTTP/0.9', b'HTTP/2.0', b'HTTP/3.0', b'HTTP/9.9'])


@change(True)
def blanks_in_request_line(r):
    r.between = r.rng.choice([(b'  ', b' '), (b' ', b'  '), (b'\t', b' '), (b' ', b'\t'), (b' a ', b' '), (b'', b' ')])


@change(True)
def blank_first(r):
    r.method = r.rng.choice([b' ', b'\t']) + r.method


@change(True)
def method_odd(r):
    r.method = r.rng.choice([b'GE(T', b'', b'GET:', b'G\x00T', b'"GET"', b'P\xe9ST', b'{GET}'])


@change(True)
def target_odd(r):
    c = r.rng.choice([b'\x00', b'\x01', b'\t', b'\x0b', b'\x7f', b'#f'])
    r.target += c + b'x'


@change(True)
def target_without_slash(r):
    r.target = r.rng.choice([b'x', b'*', b'a:80', b'?a', b':', b'', b'1://a/'])


@change(True)
def chunk_size_odd(r):
    if not r.is_chunked:
        return False
    c = r.rng.choice(r.chunks + [r.last])
    n = c[0]
    c[0] = r.rng.choice([b'', b'g', b'0x' + n, b'+' + n, b'-' + n, b' ' + n, n + b' ', n + b'\t', n + b'g', b'1' + b'0' * 16, n + b',' + n,
                         n + b';', n + b';=a', n + b';a=', n + b';a="b', n + b' x', n + b';a b', n + b';a\x00', n + b';a\rb'])


@change(True)
def chunk_lf(r):
    if not r.is_chunked:
        return False
    c = r.rng.choice(r.chunks + [r.last])
    c[1] = r.rng.choice([b'\n', b'\r', b';a\n\r\n', b'\r\r\n'])


@change(True)
def chunk_end_odd(r):
    if not r.is_chunked or not r.chunks:
        return False
    r.rng.choice(r.chunks)[3] = r.rng.choice([b'', b'\n', b'\r', b'x\r\n', b' \r\n', b'\r\n\r\n'])


@change(True)
def trailer_odd(r):
    if not r.is_chunked:
        return False
    r.trailers = r.rng.choice([b'x\r\n\r\n', b': a\r\n\r\n', b'X: a\n\r\n', b'X: a\r\n\n', b'X : a\r\n\r\n', b'X: a\r\n b\r\n\r\n',
                               b'X: \x00\r\n\r\n', b'X: a\rb\r\n\r\n', b'\n'])


# ----- and what is not wrong

@change(False)
def empty_lines_first(r):
    r.method = b'\r\n' * r.rng.randrange(1, 3) + r.method


@change(False)
def blanks_around_value(r):
    i = r.rng.randrange(len(r.headers))
    name, blank, text = r.headers[i]
    r.headers[i] = (name, r.rng.choice([b'', b' \t ', b'\t', b'    ']), text + r.rng.choice([b' ', b'\t', b' \t ']))


@change(False)
def name_in_capitals(r):
    i = r.rng.randrange(len(r.headers))
    r.headers[i] = (r.headers[i][0].upper(),) + r.headers[i][1:]


@change(False)
def zeros_before_length(r):
    i = r.find(b'content-length')
    if i is None:
        return False
    r.headers[i] = (r.headers[i][0], b' ', b'000' + r.headers[i][2])


@change(False)
def chunk_extension(r):
    if not r.is_chunked:
        return False
    c = r.rng.choice(r.chunks + [r.last])
    c[0] += r.rng.choice([b';a', b';a=b', b' ; a = b', b';a="b;\\"c"', b';a;b=c', b'\t;a="\t"'])


@change(False)
def chunk_size_zeros(r):
    if not r.is_chunked:
        return False
    c = r.rng.choice(r.chunks + [r.last])
    c[0] = r.rng.choice([b'0', b'000']) + c[0]


@change(False)
def trailer(r):
    if not r.is_chunked:
        return False
    r.trailers = r.rng.choice([b'X: a\r\n\r\n', b'X-Sum:\r\nY: \xff\r\n\r\n'])


@change(False)
def host_of_other_kind(r):
    i = r.find(b'host')
    if i is None:
        return False
    r.headers[i] = (b'Host', b' ', r.rng.choice([b'', b'[::1]:80', b'a_b:1', b'%41', b"a!$&'()*+,;=b", b'127.0.0.1:8080']))


@change(False)
def target_absolute(r):
    r.target = r.rng.choice([b'http://test', b'HTTP://other:81', b'https://[::1]']) + r.target


@change(False)
def target_unescaped(r):
    r.target += b'?' + bytes([r.rng.choice(b'"<>\\^`{|}[]\'')]) + b'z'


@change(False)
def target_not_ascii(r):
    r.target += b'?' + r.rng.choice([b'\xc3\xa9', b'\x80', b'\xff'])


@change(False)
def upgrade(r):
    r.add(b'Connection', b' ', b'Upgrade')
    r.add(b'Upgrade', b' ', r.rng.choice([b'h2c', b'websocket']))


@change(False)
def minor_version(r):
    r.version = r.rng.choice([b'HTTP/1.2', b'HTTP/1.9'])


@change(False)
def connection_of_two(r):
    r.add(b'Connection', b' ', r.rng.choice([b'keep-alive, x', b'x', b'Keep-Alive']))


def generate(seed, count, target):
    """Yield the requests: number, names, bytes, what they are or None."""
    for number in range(count):
        rng = random.Random(seed * 1000003 + number)
        r = Request(rng, target, number)
        chosen = [rng.choice(CHANGES) for _ in range(rng.choice([0, 1, 1, 1, 1, 2, 3]))]
        # what is wrong comes last, and once: nothing undoes it
        for name, is_bad, function in sorted(chosen, key=lambda c: c[1]):
            if name in r.names or r.is_bad or function(r) is False:
                continue
            r.names.append(name)
            r.is_bad |= is_bad
        text = r.bytes()
        expected = None if r.is_bad else (r.method.lstrip(b'\r\n'), r.target, r.body)
        yield number, r.names, text, expected
