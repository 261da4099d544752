"""The mutants: what may be changed where, as source text in which all of them are present and one at most lives."""

import re
from dataclasses import dataclass, field
from pathlib import Path

# The core: everything that decides who holds what. Not mutated: layout.hpp (constants, checked when it is compiled),
# clocks, identity, options, the segment's file, and what is for people only.
CORE = [
    'src/os/futex.cpp', 'src/os/keeper.cpp', 'src/os/word.hpp',
    'src/shm/attachment.cpp', 'src/shm/attachment.hpp', 'src/shm/guard.hpp', 'src/shm/lock_service.cpp',
    'src/shm/name_manager.cpp',
    'src/table/chain.cpp', 'src/table/chain.hpp', 'src/table/claimant_cache.hpp',
    'src/table/claimants.cpp', 'src/table/claimants.hpp', 'src/table/grants.cpp', 'src/table/grants.hpp',
    'src/table/locks.cpp', 'src/table/locks.hpp', 'src/table/memo.hpp', 'src/table/names.cpp', 'src/table/outline.hpp',
    'src/table/quick.hpp', 'src/table/room.cpp', 'src/table/sessions.cpp', 'src/table/sessions.hpp',
    'src/table/table.cpp', 'src/table/table.hpp', 'src/table/waiting.cpp', 'src/table/waiting.hpp',
    'src/table/words.hpp',
]

# Statements that may go without anybody being wronged: counters and times for people, advice to the processor or the
# allocator. And corrupt(), which does not return: that it is reached is another mutant's matter.
NOT_REMOVED = ('count', 'note_since', 'pause', 'reserve', 'pthread_setname_np', 'corrupt')

EXCHANGES = ('compare_exchange_strong', 'compare_exchange_weak', 'replace')

WEAKER = {
    'acq_rel': ['acquire', 'release', 'relaxed'],
    'acquire': ['relaxed'],
    'release': ['relaxed'],
}

KEYWORDS = {'return', 'if', 'for', 'while', 'switch', 'throw', 'else', 'do', 'case', 'delete', 'new', 'static_assert',
            'using', 'namespace', 'template', 'catch', 'sizeof', 'alignas', 'decltype', 'asm', 'goto', 'operator',
            'constexpr', 'const', 'static', 'requires', 'default'}


@dataclass
class Mutant:
    number: int
    file: str
    line: int
    rule: str
    text: str     # the line as it was
    again: int = 0    # of several with this rule in this line, or in others of this text

    @property
    def name(self):
        return f'{self.file}:{self.line}:{self.rule}#{self.again + 1}'

    @property
    def key(self):
        """The same as long as the line is, wherever it moves."""
        return '\t'.join([self.file, self.rule, str(self.again + 1), self.text])


@dataclass
class Edits:
    """Insertions and replacements of one source, that may lie within each other."""
    wraps: list = field(default_factory=list)       # (begin, end, before, after)
    changes: list = field(default_factory=list)     # (begin, end, text); these do not overlap

    def apply(self, source):
        pieces = []    # (position, order, text)
        for begin, end, before, after in self.wraps:
            pieces.append((begin, (1, -end), before, 0))
            pieces.append((end, (0, -begin), after, 0))
        for begin, end, text in self.changes:
            pieces.append((begin, (2, 0), text, end - begin))
        result, at = [], 0
        for position, _, text, skipped in sorted(pieces, key=lambda piece: (piece[0], piece[1])):
            result.append(source[at:position])
            result.append(text)
            at = position + skipped
        return ''.join(result) + source[at:]


def blanked(source):
    """The source with comments and directives as blanks and literals without content, so that positions stay."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|^[ \t]*#[^\n]*|R"\(.*?\)"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])\'(?:\\.|[^\'\\\n])+\'',
        re.S | re.M)

    def blank(match):
        text = match.group()
        if text[0] in '"\'':
            return text[0] + '_' * (len(text) - 2) + text[0]
        return re.sub(r'[^\n]', ' ', text)

    return pattern.sub(blank, source)


def closing(text, opening):
    """Position of the bracket that closes the one at `opening`."""
    pairs = {'(': ')', '[': ']', '{': '}'}
    depth, stack = 0, []
    for at in range(opening, len(text)):
        if text[at] in pairs:
            stack.append(pairs[text[at]])
        elif stack and text[at] == stack[-1]:
            stack.pop()
            if not stack:
                return at
    raise ValueError('unbalanced')


def split_top(text, begin, end, separators):
    """[begin, end) cut at separators outside of all brackets: ranges."""
    parts, depth, start, at = [], 0, begin, begin
    while at < end:
        if text[at] in '([{':
            depth += 1
        elif text[at] in ')]}':
            depth -= 1
        elif depth == 0:
            for separator in separators:
                if text.startswith(separator, at):
                    parts.append((start, at))
                    start = at + len(separator)
                    at = start - 1
                    break
        at += 1
    parts.append((start, end))
    return parts


def trimmed(text, begin, end):
    while begin < end and text[begin].isspace():
        begin += 1
    while end > begin and text[end - 1].isspace():
        end -= 1
    return begin, end


def chain_begin(text, at):
    """Where the expression begins whose member is named at `at`: a.b(c).d -> a."""
    while True:
        while at > 0 and text[at - 1].isspace():
            at -= 1
        if at > 0 and text[at - 1] in ')]':
            depth = 0
            while True:
                at -= 1
                depth += (text[at] in ')]') - (text[at] in '([')
                if depth == 0:
                    break
            continue
        start = at
        while at > 0 and (text[at - 1].isalnum() or text[at - 1] in '_:'):
            at -= 1
        before = text[:at].rstrip()
        if before.endswith('.'):
            at = len(before) - 1
        elif before.endswith('->'):
            at = len(before) - 2
        else:
            return at if at != start or text[start - 1] != ' ' else start


class Source:
    def __init__(self, file, text, mutants):
        self.file, self.source, self.text, self.mutants = file, text, blanked(text), mutants
        self.lines = text.split('\n')
        self.edits = Edits()
        fixed = re.compile(r'\b(constexpr|static_assert|template|operator|typename)\b')
        self.constant = [bool(fixed.search(line)) for line in self.text.split('\n')]

    def line_of(self, position):
        return self.source.count('\n', 0, position) + 1

    def is_constant(self, position):
        return self.constant[self.line_of(position) - 1]

    def mutant(self, position, rule):
        line = self.line_of(position)
        text = self.lines[line - 1].strip()
        again = sum(1 for m in self.mutants if (m.file, m.rule, m.text) == (self.file, rule, text))
        self.mutants.append(Mutant(len(self.mutants) + 1, self.file, line, rule, text, again))
        return len(self.mutants)

    def wrap(self, begin, end, before, after=')'):
        self.edits.wraps.append((begin, end, before, after))

    def mutate(self):
        for rule in (self.orders, self.looks_again, self.exchanges, self.comparisons, self.conditions, self.results,
                     self.statements, self.literals):
            rule()
        return self.edits.apply(self.source)

    # --- Rules ---

    def orders(self):
        for match in re.finditer(r'std::memory_order_(\w+)', self.text):
            if self.is_constant(match.start()):
                continue
            order, call = match[1], self.text[:match.start()]
            if order == 'seq_cst':
                name = re.findall(r'\b(load|store|exchange|compare_exchange_\w+|fetch_\w+|\w*fence)\s*\(', call)
                weaker = [{'load': 'acquire', 'store': 'release'}.get(name[-1] if name else '', 'acq_rel')]
            else:
                weaker = WEAKER.get(order, [])
            if 'signal_fence' in self.source.split('\n')[self.line_of(match.start()) - 1]:
                continue
            for one in weaker:
                number = self.mutant(match.start(), f'order-{one}')
                self.wrap(match.start(), match.end(), f'mutation::either({number}, std::memory_order_{one}, ')

    def looks_again(self):
        for match in re.finditer(r'\bstill\s*\(\s*\)', self.text):
            if self.text[match.start() - 1] not in '.>':
                continue
            begin = chain_begin(self.text, match.start() - (1 if self.text[match.start() - 1] == '.' else 2))
            self.wrap(begin, match.end(), f'mutation::yes({self.mutant(match.start(), "still")}, ')

    def exchanges(self):
        for match in re.finditer(rf'(\.|->)({"|".join(EXCHANGES)})\s*\(', self.text):
            begin = chain_begin(self.text, match.start())
            opening = match.end() - 1
            end = closing(self.text, opening) + 1
            if self.is_statement(begin, end):
                self.wrap(begin, end, f'(mutation::is({self.mutant(match.start(), "cas-left-out")}) || ')
            else:
                self.wrap(begin, end, f'mutation::yes({self.mutant(match.start(), "cas-told-done")}, ')
            arguments = [self.source[slice(*trimmed(self.text, *part))]
                         for part in split_top(self.text, opening + 1, end - 1, [','])]
            target, number = self.source[begin:match.start()], self.mutant(match.start(), 'cas-blind')
            if match[2] == 'replace':
                hit = f'*{target}' if match[1] == '->' else target
                blind = f'mutation::replace_blindly({hit}, {", ".join(arguments)})'
            else:
                blind = f'({target}{match[1]}exchange({arguments[1]}), true)'
            self.wrap(begin, end, f'(mutation::is({number}) ? {blind} : ')

    def is_statement(self, begin, end):
        """Does nobody look at what the expression is?"""
        before = re.sub(r'\(void\)$', '', self.text[:begin].rstrip()).rstrip()
        return before[-1] in ';{}' and self.text[end:].lstrip().startswith(';')

    def comparisons(self):
        names = {'<': 'less', '<=': 'at_most', '>': 'more', '>=': 'at_least', '==': 'equal', '!=': 'different'}
        for match in re.finditer(r'(?<=\s)(<=|>=|==|!=|<|>)(?=\s)', self.text):
            if self.is_constant(match.start()):
                continue
            operator = match[1]
            negated = self.mutant(match.start(), 'compare-negated')
            following = 0 if operator in ('==', '!=') else self.mutant(match.start(), 'compare-next')
            between = f'mutation::Compare{{mutation::Relation::{names[operator]}, {negated}, {following}}}'
            outer = '== {} ==' if operator in ('==', '!=') else '< {} >'
            self.edits.changes.append((match.start(), match.end(), outer.format(between)))

    def conditions(self):
        for match in re.finditer(r'\b(if|while)\s*\(', self.text):
            if self.is_constant(match.start()):
                continue
            opening = match.end() - 1
            end = closing(self.text, opening)
            begin, end = trimmed(self.text, *split_top(self.text, opening + 1, end, [';'])[-1])
            if begin == end:
                continue
            declared = re.match(r'(?:const\s+)?[\w:]+(?:<[\w:<>, ]*>)?\s*[&*]?\s*(\w+)\s*(?:=(?!=)|\{)',
                                self.text[begin:end])
            off = self.mutant(match.start(), 'if-never')
            value = declared[1] if declared else None
            if match[1] == 'while':
                if not declared:
                    self.wrap(begin, end, f'mutation::no({off}, static_cast<bool>(', '))')
            else:
                on = self.mutant(match.start(), 'if-always')
                if declared:
                    self.wrap(begin, end, '',
                              f'; mutation::yes({on}, mutation::no({off}, static_cast<bool>({value})))')
                else:
                    self.wrap(begin, end, f'mutation::yes({on}, mutation::no({off}, static_cast<bool>(', ')))')
            if not declared:
                self.operands(begin, end)

    def operands(self, begin, end):
        begin, end = trimmed(self.text, begin, end)
        for operators, function, rule in ((['||'], 'no', 'or-left-out'), (['&&'], 'yes', 'and-left-out')):
            parts = split_top(self.text, begin, end, operators)
            if len(parts) == 1:
                continue
            if any(c in '?' for c in self.text[begin:end]):
                return
            for part in parts:
                a, b = trimmed(self.text, *part)
                self.wrap(a, b, f'mutation::{function}({self.mutant(a, rule)}, static_cast<bool>(', '))')
                self.operands(a, b)
            return
        if self.text[begin] == '(' and closing(self.text, begin) == end - 1:
            self.operands(begin + 1, end - 1)

    def results(self):
        """What is returned, or kept, of a compound condition."""
        for match in re.finditer(r'\breturn\s|\bbool \w+ =\s', self.text):
            if self.is_constant(match.start()):
                continue
            begin = match.end()
            end = split_top(self.text, begin, len(self.text), [';'])[0][1]
            self.operands(begin, end)

    def statements(self):
        begins = re.compile(r'(?:(?<=[;{})])|(?<=else))\s+'
                            r'((?:\(void\)\s*)?)([A-Za-z_][\w:.]*(?:->\w+)*)\s*(?=[.(\[]|->)')
        for match in begins.finditer(self.text):
            begin = match.start(1) if match[1] else match.start(2)
            first = re.split(r'[:.\->]+', match[2])[0]
            if first in KEYWORDS or self.is_constant(begin):
                continue
            before = self.text[:match.start()].rstrip()
            if before.endswith(')'):    # of a condition, or of a declaration
                if not re.search(r'\b(if|for|while)\s*\($', self.text[:self.opened(len(before) - 1) + 1]):
                    continue
            at = match.end()
            while at < len(self.text):    # the rest of the chain
                rest = re.match(r'\s*(?:(?:\.|->)\s*\w+|[(\[])', self.text[at:])
                if not rest:
                    break
                end = at + rest.end()
                at = closing(self.text, end - 1) + 1 if rest.group()[-1] in '([' else end
            if self.text[at - 1] != ')' or not self.text[at:].lstrip().startswith(';'):
                continue
            called = re.findall(r'(\w+)\s*\($', self.text[:self.opened(at - 1) + 1])
            if not called or called[0] in NOT_REMOVED or match[2][0].isupper():    # upper case: a declaration
                continue
            if called[0] in EXCHANGES:
                continue    # see exchanges()
            end = self.text.index(';', at) + 1
            self.wrap(begin, end, f'{{ if (!mutation::is({self.mutant(begin, "call-left-out")})) ', ' }')

    def opened(self, at):
        depth = 0
        while True:
            depth += (self.text[at] in ')]}') - (self.text[at] in '([{')
            if depth == 0:
                return at
            at -= 1

    def literals(self):
        if not self.file.endswith('words.hpp'):
            return
        for match in re.finditer(r"(?<![\w.'])(0x[0-9a-f']+|\d[\d']*)u?(?![\w.'])", self.text):
            line = self.text.split('\n')[self.line_of(match.start()) - 1]
            initial = re.search(r'\w = \d+;', line)    # of a word that is always written before it is read
            if self.is_constant(match.start()) or 'enum' in line or initial:
                continue
            number = self.mutant(match.start(), 'literal')
            mutated = '0' if self.text[:match.start()].endswith('+ ') else match.group() + ' + 1'
            self.wrap(match.start(), match.end(), f'mutation::either<decltype({match.group()})>({number}, {mutated}, ')


def mutate_all(root):
    """All mutants, and the text of each mutated file."""
    mutants, texts = [], {}
    for file in CORE:
        source = Source(file, (Path(root) / file).read_text(), mutants)
        texts[file] = source.mutate()
    return mutants, texts
