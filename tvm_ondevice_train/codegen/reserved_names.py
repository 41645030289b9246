"""Names that C, its library, its compilers and the generated code keep to themselves."""

from __future__ import annotations

_KEYWORDS = """
alignas alignof and and_eq asm auto bitand bitor bool break case catch char class compl concept
const consteval constexpr constinit const_cast continue co_await co_return co_yield decltype default
delete do double dynamic_cast else enum explicit export extern false float for friend goto if inline
int long mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected
public register reinterpret_cast requires restrict return short signed sizeof static static_assert
static_cast struct switch template this thread_local throw true try typedef typeid typename typeof
typeof_unqual union unsigned using virtual void volatile wchar_t while xor xor_eq
"""
_GENERATED = """
arena arena_bytes clear_batch destination evaluate_prefix evaluate_rest forward input
learning_rate loss main not_finite odt output params place_input predict_rest seed seed_behind
target train_prefix train_rest update_batch
"""
# what compilers define in their GNU modes, and headers of firmware in lower case
_MACROS = """
arm assert bit boolean byte complex constrain degrees far high highByte i386 imaginary interrupts
interrupt iscanonical iseqsig isr issignaling issubnormal iszero linux low lowByte m68k
math_errhandling mips near noreturn offsetof pascal pixel radians riscv sparc sq stderr stdin stdout
unix va_arg va_copy va_end va_start vax vector word
"""
# functions of libraries that compilers know without a header, in or outside of C99
_LIBRARY = """
abort abs alloca asctime atexit atof atoi atol atoll bcmp bcopy bsearch bzero calloc clearerr clock
ctime difftime div dcgettext dgettext errno exit fclose fdim feclearexcept fegetenv fegetexceptflag
fegetround feholdexcept feof feraiseexcept ferror fesetenv fesetexceptflag fesetround fetestexcept
feupdateenv fflush ffs ffsl ffsll fgetc fgetpos fgets fgetwc fgetws fopen fpclassify fprintf fputc
fputc_unlocked fputs fputs_unlocked fputwc fputws fread free freopen fscanf fseek fsetpos ftell
fwide fwprintf fwrite fwrite_unlocked fwscanf getc getchar getenv gets gettext getwc getwchar gmtime
imaxabs imaxdiv index isalnum isalpha isascii isblank iscntrl isdigit isfinite isgraph isgreater
isgreaterequal isinf isless islessequal islessgreater islower isnan isnormal isprint ispunct isspace
isunordered isupper iswalnum iswalpha iswblank iswcntrl iswctype iswdigit iswgraph iswlower iswprint
iswpunct iswspace iswupper iswxdigit isxdigit labs ldiv llabs lldiv localeconv localtime longjmp
malloc mblen mbrlen mbrtowc mbsinit mbsrtowcs mbstowcs mbtowc memchr memcmp memcpy memmove mempcpy
memset mktime perror posix_memalign printf printf_unlocked putc putc_unlocked putchar
putchar_unlocked puts puts_unlocked putwc putwchar qsort raise rand realloc remove rename rewind
rindex scanf setbuf setjmp setlocale setvbuf signal signbit sigsetjmp siglongjmp snprintf sprintf
srand sscanf stpcpy stpncpy strcasecmp strcat strchr strcmp strcoll strcpy strcspn strdup strerror
strfmon strftime strlen strncasecmp strncat strncmp strncpy strndup strnlen strpbrk strrchr strspn
strstr strtod strtof strtoimax strtok strtol strtold strtoll strtoul strtoull strtoumax strxfrm
swprintf swscanf system time tmpfile tmpnam toascii tolower toupper towctrans towlower towupper
ungetc ungetwc vfprintf vfscanf vfwprintf vfwscanf vprintf vscanf vsnprintf vsprintf vsscanf
vswprintf vswscanf vwprintf vwscanf wcrtomb wcscat wcschr wcscmp wcscoll wcscpy wcscspn wcsftime
wcslen wcsncat wcsncmp wcsncpy wcspbrk wcsrchr wcsrtombs wcsspn wcsstr wcstod wcstof wcstoimax
wcstok wcstol wcstold wcstoll wcstombs wcstoul wcstoull wcstoumax wcsxfrm wctob wctomb wctrans
wctype wmemchr wmemcmp wmemcpy wmemmove wmemset wprintf wscanf execl execle execlp execv execve
execvp fork
"""
_MATHEMATICS = """
acos acosh asin asinh atan atan2 atanh cabs cacos cacosh carg casin casinh catan catanh cbrt ccos
ccosh ceil cexp cimag clog clog10 conj copysign cos cosh cpow cproj creal csin csinh csqrt ctan
ctanh drem erf erfc exp exp10 exp2 expm1 fabs fdim finite floor fma fmax fmin fmod frexp gamma
gamma_r hypot ilogb isinf isnan j0 j1 jn ldexp lgamma lgamma_r llrint llround log log10 log1p log2
logb lrint lround modf nan nearbyint nextafter nexttoward pow pow10 remainder remquo rint round
roundeven scalb scalbln scalbn signbit significand sin sincos sinh sqrt tan tanh tgamma trunc y0 y1
yn
"""
_TYPED = ("", "f", "l", "d32", "d64", "d128", "f16", "f32", "f32x", "f64", "f64x", "f128", "f128x")
RESERVED = frozenset(
    [
        *(_KEYWORDS + _GENERATED + _MACROS + _LIBRARY).split(),
        *(name + suffix for name in _MATHEMATICS.split() for suffix in _TYPED),
    ]
)
NO_IDENTIFIERS = frozenset((_KEYWORDS + _MACROS).split())  # not even a tag of a struct
RESERVED_PREFIXES = ("odt_", "ODT_", "initial_")


def is_reserved(name: str) -> bool:
    """Whether C may know `name`, an identifier, as something else than a tensor or a kernel.

    Types end in _t; macros are in capitals (NULL, EOF, M_PI, INT8_MAX, registers of a part).
    """
    macro = name.isupper() and (len(name) > 1 or name == "I")
    return macro or name.endswith("_t") or name in RESERVED or name.startswith(RESERVED_PREFIXES)
