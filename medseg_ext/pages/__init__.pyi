from .comparison_page import write_comparison
from .evaluation_page import write_report
from .gallery import write_gallery
from .model_card import write_card

__all__ = [
    "write_card",
    "write_comparison",
    "write_gallery",
    "write_report",
]
