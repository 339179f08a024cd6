"""For eyes: pictures, one HTML page, tables of gradients."""

from typing import TYPE_CHECKING

from autorec_np import hand_on

if TYPE_CHECKING:
    from autorec_np.reports.html import Case as Case
    from autorec_np.reports.html import all_cases as all_cases
    from autorec_np.reports.html import beside_popularity as beside_popularity
    from autorec_np.reports.html import check_case as check_case
    from autorec_np.reports.html import describe_model as describe_model
    from autorec_np.reports.html import describe_ratings as describe_ratings
    from autorec_np.reports.html import is_right as is_right
    from autorec_np.reports.pictures import html_report as html_report

_MODULE_OF = {
    "Case": "html",
    "all_cases": "html",
    "beside_popularity": "html",
    "check_case": "html",
    "describe_model": "html",
    "describe_ratings": "html",
    "html_report": "pictures",
    "is_right": "html",
}

__all__ = [*_MODULE_OF]

__getattr__, __dir__ = hand_on(__name__, _MODULE_OF)
