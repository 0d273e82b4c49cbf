using Microsoft.AspNetCore.Mvc;
using Microsoft.AspNetCore.Mvc.RazorPages;

namespace SampleWeb.Pages;

/// <summary>What a person sees instead of an empty answer. Also reached by failed posts, hence without a token.</summary>
[IgnoreAntiforgeryToken]
[ResponseCache(NoStore = true, Location = ResponseCacheLocation.None)]
internal sealed class ErrorModel : PageModel
{
    public int Status => Response.StatusCode == StatusCodes.Status200OK ? StatusCodes.Status404NotFound : Response.StatusCode;

    public string Title => Status switch
    {
        StatusCodes.Status400BadRequest => "That request didn't work",
        StatusCodes.Status404NotFound => "There is nothing here",
        StatusCodes.Status503ServiceUnavailable => "Out of reach for a moment",
        < 500 => "That isn't possible",
        _ => "Something went wrong",
    };

    public string Advice => Status switch
    {
        StatusCodes.Status400BadRequest => "The form may have been open for too long. Go back, reload the page and try again.",
        StatusCodes.Status404NotFound => "The product may have been removed, or the address has a mistake in it.",
        StatusCodes.Status503ServiceUnavailable => "A service behind this page can't be reached. Try again in a few seconds.",
        < 500 => "Go back and try another way.",
        _ => "The fault is ours and has been noted. Try again, and have a look at the log if you run this shop.",
    };

    public void OnGet() => Response.StatusCode = Status;

    public void OnPost() => Response.StatusCode = Status;
}
