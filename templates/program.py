"""One part of a mailing, ready to run: a Jinja program that knows where its lines were written."""

from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from jinja2 import Template, TemplateError, TemplateSyntaxError
from jinja2.nodes import EvalContext
from jinja2.runtime import Context

from core.errors import ConfigError, Problem, RenderError
from templates.chunks import Script
from templates.sandbox import sandbox

#: Whatever a template can make of values it did not expect. Anything else is a mistake of ours and says so.
_FAILURES: Final = (
    RenderError, TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError, RuntimeError,
    MemoryError,
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Program:
    """A compiled part; `run` may be called from several threads at once."""

    template: Template
    script: Script
    _eval_ctx: EvalContext

    @classmethod
    def of(cls, script: Script, *, html: bool) -> "Program":
        """The program of `script`, whose names have been checked before.

        Raises:
            ConfigError: the HTML around its tags is nested in a way that pulled them apart.
        """
        try:
            template = sandbox(html=html).from_string(script.text)
            return cls(template, script, EvalContext(template.environment))
        except TemplateSyntaxError as error:
            hint = "put the condition around whole elements, or inside one attribute value"
            problem = Problem(*script.origin(error.lineno), f"the HTML here is not nested properly: {error}", hint)
            raise ConfigError(problems=[problem]) from None
        except RecursionError:
            raise ConfigError(problems=[Problem(*script.origin(1), "the template is too deeply nested")]) from None

    def run(self, values: dict[str, Any]) -> str:
        """The text for one customer.

        Raises:
            RenderError: whatever went wrong, located in the template's file.
        """
        try:
            return "".join(self.template.root_render_func(self._context(values)))
        except _FAILURES as error:
            raise self._located(error) from error

    def _context(self, values: dict[str, Any]) -> Context:
        """What `Template.new_context(values, shared=True)` would make; put together by hand it takes a fifth."""
        context = Context.__new__(Context)
        context.parent, context.environment, context.name = values, self.template.environment, None
        context.eval_ctx, context.vars, context.blocks = self._eval_ctx, {}, {}
        context.exported_vars, context.globals_keys = set(), set()
        return context

    def _located(self, error: Exception) -> RenderError:
        line = self._line(error.__traceback__)
        file, at = self.script.origin(line)
        where = f"{file}:{at}" if at else file
        if isinstance(error, RenderError):
            return RenderError(error.message, hint=error.hint, where=where)
        if isinstance(error, RecursionError):
            return RenderError("the template's macros call each other without end", where=where)
        return RenderError(str(error) or type(error).__name__, where=where)

    def _line(self, trace: TracebackType | None) -> int:
        line = 1
        while trace is not None:
            if trace.tb_frame.f_code.co_filename == "<template>":
                line = self.template.get_corresponding_lineno(trace.tb_lineno)
            trace = trace.tb_next
        return line
