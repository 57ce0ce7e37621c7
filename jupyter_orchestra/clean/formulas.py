"""Which formulas of an untrusted text may be typeset: those made of known commands alone; it knows no markdown.

MathJax can link, style, define macros and load packages from inside a formula, so nothing that is not listed here
passes. What passes is written so that it does no harm either where a renderer takes it for ordinary text.
"""

from __future__ import annotations

import re

LONGEST = 2_000  # characters of one formula
DEEPEST = 30  # braces within braces

_TOKEN = re.compile(r"\\(?:[A-Za-z]+\*?|.)|[{}]|[^\\{}]+|\\", re.DOTALL)
_ENVIRONMENT = re.compile(r"\\(begin|end)\s*\{([a-zA-Z]+\*?)\}")
_TEXT = re.compile(r"[A-Za-z0-9 \n+\-*/=()\[\]^_,.;:!?'|<>&~]*\Z")
_SPACES = re.compile(r"\s+")
_UNWANTED = re.compile(r"://|www\.|ftp:|https?:", re.IGNORECASE)

_ENVIRONMENTS_WORDS = """
matrix pmatrix bmatrix Bmatrix vmatrix Vmatrix smallmatrix cases aligned gathered split array
"""
ENVIRONMENTS = frozenset(_ENVIRONMENTS_WORDS.split())
SYMBOLS = frozenset("\\,;:!>|{}%#& _")  # what may follow a backslash besides a name
_COMMANDS_WORDS = """
alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa varkappa lambda mu nu xi omicron pi
varpi rho varrho sigma varsigma tau upsilon phi varphi chi psi omega digamma Gamma Delta Theta Lambda Xi Pi
Sigma Upsilon Phi Psi Omega aleph beth hbar hslash ell wp Re Im imath jmath partial nabla infty prime emptyset
varnothing angle forall exists nexists neg lnot top bot degree complement sum prod coprod int iint iiint oint
bigcup bigcap bigsqcup bigvee bigwedge bigodot bigotimes bigoplus biguplus lim limsup liminf sup inf max min arg
det dim ker gcd hom deg exp log ln lg Pr sin cos tan cot sec csc arcsin arccos arctan sinh cosh tanh coth frac
dfrac tfrac cfrac binom dbinom tbinom sqrt over choose atop stackrel overset underset substack hat widehat tilde
widetilde bar overline underline vec dot ddot dddot acute grave breve check mathring overbrace underbrace
overrightarrow overleftarrow boxed cancel bcancel xcancel left right middle big Big bigg Bigg bigl bigr Bigl
Bigr biggl biggr Biggl Biggr langle rangle lvert rvert lVert rVert vert Vert lfloor rfloor lceil rceil lbrace
rbrace lbrack rbrack backslash uparrow downarrow updownarrow Uparrow Downarrow Updownarrow to gets leftarrow
rightarrow leftrightarrow Leftarrow Rightarrow Leftrightarrow longleftarrow longrightarrow longleftrightarrow
Longleftarrow Longrightarrow Longleftrightarrow mapsto longmapsto hookrightarrow hookleftarrow implies impliedby
iff nearrow searrow swarrow nwarrow rightharpoonup rightharpoondown leftharpoonup leftharpoondown
rightleftharpoons leadsto xrightarrow xleftarrow le leq leqslant ge geq geqslant lt gt ne neq ll gg equiv sim
simeq approx approxeq cong propto doteq asymp prec succ preceq succeq subset supset subseteq supseteq subsetneq
supsetneq sqsubset sqsupset sqsubseteq sqsupseteq in ni notin not mid nmid parallel nparallel perp vdash dashv
models vDash bowtie lesssim gtrsim triangleq pm mp times div cdot ast star circ bullet oplus ominus otimes
oslash odot dagger ddagger amalg cap cup uplus sqcap sqcup vee wedge land lor setminus smallsetminus wr diamond
triangle square blacksquare Box bigtriangleup bigtriangledown triangleleft triangleright therefore because dots
ldots cdots vdots ddots dotsb dotsc colon quad qquad displaystyle textstyle scriptstyle scriptscriptstyle limits
nolimits nonumber notag mathrm mathbf mathit mathsf mathtt mathcal mathbb mathfrak mathscr boldsymbol bm
operatorname operatorname* text textbf textit textrm texttt textsf mathop mathbin mathrel mathopen mathclose
mathord bmod pmod mod hline begin end
"""
COMMANDS = frozenset(_COMMANDS_WORDS.split())


def safe_formula(source: str) -> str | None:
    """The formula on one line, written so that nothing in it can act; None when it is not to be typeset."""
    source = _SPACES.sub(" ", source).strip()
    if not source or len(source) > LONGEST or _UNWANTED.search(source) or not _has_known_environments(source):
        return None
    parts: list[str] = []
    depth = 0
    for token in _TOKEN.findall(source):
        depth += (token == "{") - (token == "}")
        if not 0 <= depth <= DEEPEST or not _is_known(token):
            return None
        parts.append(_inert(token))
    return _joined(parts) if depth == 0 else None


def _has_known_environments(source: str) -> bool:
    """Whether what begins also ends, in order, and is an environment that only arranges."""
    if len(_ENVIRONMENT.findall(source)) != len(re.findall(r"\\(?:begin|end)(?![A-Za-z])", source)):
        return False
    open_ones: list[str] = []
    for kind, name in _ENVIRONMENT.findall(source):
        if name not in ENVIRONMENTS:
            return False
        if kind == "begin":
            open_ones.append(name)
        elif not open_ones or open_ones.pop() != name:
            return False
    return not open_ones


def _is_known(token: str) -> bool:
    if token[0] == "\\":
        return token[1:] in COMMANDS or token[1:] in SYMBOLS
    return token in "{}" or _TEXT.match(token) is not None


def _inert(token: str) -> str:
    if token[0] == "\\" or token in "{}":
        return token
    text = token.replace("<", r"\lt ").replace(">", r"\gt ").replace("*", r"\ast ").replace("~", r"\;")
    return text.replace("](", "] (").replace("][", "] [").replace("![", "! [").replace("&", "& ")


def _joined(parts: list[str]) -> str:
    r"""One line; `\\` never stands before a bracket, which JupyterLab would take for a delimiter of its own."""
    text = re.sub(r"(\\\\)(?=[()\[\]])", r"\1 ", "".join(parts))
    return _SPACES.sub(" ", text).strip()
