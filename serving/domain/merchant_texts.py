"""Merchant texts: everything a merchant reads about a stop request or its account, in five languages.

No text names a person or says why the order was judged a risk.
"""

from collections.abc import Mapping
from datetime import date, datetime
from types import MappingProxyType

from data_contracts.currencies import amount_figure
from data_contracts.text_form import primary_language
from serving.domain.reasons import date_text
from serving.domain.stop_request import AnswerKind, ConsequenceCode

FALLBACK_LANGUAGE = "en"
LANGUAGES = ("en", "de", "da", "nl", "sv")
LANGUAGE_NAMES: Mapping[str, str] = MappingProxyType(
    {"en": "English", "de": "Deutsch", "da": "Dansk", "nl": "Nederlands", "sv": "Svenska"}
)
"""What each language calls itself, for a reader who does not read the page's."""

TEXTS: Mapping[str, Mapping[str, str]] = MappingProxyType(
    {
        "email.subject": {
            "en": "Please stop order {order_id}",
            "de": "Bitte stoppen Sie die Bestellung {order_id}",
            "da": "Stop venligst ordre {order_id}",
            "nl": "Verzoek om bestelling {order_id} tegen te houden",
            "sv": "Vi ber er att stoppa order {order_id}",
        },
        "email.body": {
            "en": (
                "Hello,\n"
                "\n"
                "Your customers can pay by invoice through {provider_name}. We ask you to stop this order:\n"
                "\n"
                "Order: {order_id}\n"
                "Amount: {amount}\n"
                "\n"
                "If it has not been shipped yet, please do not ship it. If it is a service, please cut off"
                " access to it. If that is no longer possible, please let us know as well.\n"
                "\n"
                "Please answer in this short form:\n"
                "{link}\n"
                "\n"
                "We need your answer within {answer_hours} hours of receiving this.\n"
                "\n"
                "The risk lies with the order, not with the person named as recipient. We cannot share"
                " further details with you.\n"
                "\n"
                "If the customer contacts you about the order, please refer them to the customer service of"
                " {provider_name}: {customer_service}\n"
                "\n"
                "Thank you for your help.\n"
                "{provider_name}\n"
            ),
            "de": (
                "Guten Tag,\n"
                "\n"
                "Ihre Kundschaft kann bei Ihnen über {provider_name} auf Rechnung bezahlen. Wir bitten Sie,"
                " diese Bestellung zu stoppen:\n"
                "\n"
                "Bestellung: {order_id}\n"
                "Betrag: {amount}\n"
                "\n"
                "Falls die Ware noch nicht versandt ist, versenden Sie sie bitte nicht. Falls es sich um eine"
                " Dienstleistung handelt, sperren Sie bitte den Zugang. Falls das nicht mehr möglich ist,"
                " teilen Sie uns bitte auch das mit.\n"
                "\n"
                "Bitte antworten Sie in diesem kurzen Formular:\n"
                "{link}\n"
                "\n"
                "Wir brauchen Ihre Antwort innerhalb von {answer_hours} Stunden nach Erhalt.\n"
                "\n"
                "Das Risiko liegt bei der Bestellung, nicht bei der Person, die als Empfänger angegeben ist."
                " Nähere Angaben können wir Ihnen nicht machen.\n"
                "\n"
                "Wenn sich die Kundin oder der Kunde wegen der Bestellung bei Ihnen meldet, verweisen Sie"
                " bitte an den Kundenservice von {provider_name}: {customer_service}\n"
                "\n"
                "Vielen Dank für Ihre Hilfe.\n"
                "{provider_name}\n"
            ),
            "da": (
                "Hej\n"
                "\n"
                "Hos jer kan kunderne betale med faktura gennem {provider_name}. Vi beder jer om at stoppe"
                " denne ordre:\n"
                "\n"
                "Ordre: {order_id}\n"
                "Beløb: {amount}\n"
                "\n"
                "Hvis varen endnu ikke er sendt, beder vi jer om ikke at sende den. Hvis det drejer sig om en"
                " tjeneste, beder vi jer om at lukke for adgangen. Hvis det ikke længere er muligt, vil vi"
                " også gerne vide det.\n"
                "\n"
                "Svar venligst i denne korte formular:\n"
                "{link}\n"
                "\n"
                "Vi skal have jeres svar senest {answer_hours} timer efter modtagelsen.\n"
                "\n"
                "Risikoen knytter sig til ordren, ikke til den person, der er angivet som modtager. Vi kan"
                " ikke give jer flere oplysninger.\n"
                "\n"
                "Hvis kunden henvender sig til jer om ordren, beder vi jer om at henvise til kundeservice hos"
                " {provider_name}: {customer_service}\n"
                "\n"
                "Tak for hjælpen.\n"
                "{provider_name}\n"
            ),
            "nl": (
                "Goedendag,\n"
                "\n"
                "Bij u kunnen klanten via {provider_name} op factuur betalen. Wij verzoeken u deze bestelling"
                " tegen te houden:\n"
                "\n"
                "Bestelling: {order_id}\n"
                "Bedrag: {amount}\n"
                "\n"
                "Als de bestelling nog niet is verzonden, verzend deze dan niet. Gaat het om een dienst,"
                " sluit dan de toegang af. Als dat niet meer mogelijk is, horen wij dat ook graag van u.\n"
                "\n"
                "Geef uw antwoord in dit korte formulier:\n"
                "{link}\n"
                "\n"
                "Wij hebben uw antwoord binnen {answer_hours} uur na ontvangst nodig.\n"
                "\n"
                "Het risico ligt bij de bestelling, niet bij de persoon die als ontvanger is opgegeven. Wij"
                " kunnen u geen verdere bijzonderheden geven.\n"
                "\n"
                "Als de klant contact met u opneemt over de bestelling, verwijs dan naar de klantenservice"
                " van {provider_name}: {customer_service}\n"
                "\n"
                "Hartelijk dank voor uw hulp.\n"
                "{provider_name}\n"
            ),
            "sv": (
                "Hej!\n"
                "\n"
                "Hos er kan kunderna betala mot faktura genom {provider_name}. Vi ber er att stoppa den här"
                " ordern:\n"
                "\n"
                "Order: {order_id}\n"
                "Belopp: {amount}\n"
                "\n"
                "Om varan inte har skickats ännu ber vi er att inte skicka den. Om det gäller en tjänst ber"
                " vi er att stänga av åtkomsten. Om det inte längre är möjligt vill vi gärna veta det"
                " också.\n"
                "\n"
                "Svara i det här korta formuläret:\n"
                "{link}\n"
                "\n"
                "Vi behöver ert svar inom {answer_hours} timmar efter mottagandet.\n"
                "\n"
                "Risken gäller ordern, inte den person som har angetts som mottagare. Vi kan inte lämna några"
                " närmare uppgifter.\n"
                "\n"
                "Om kunden hör av sig till er om ordern ber vi er att hänvisa till kundtjänsten hos"
                " {provider_name}: {customer_service}\n"
                "\n"
                "Tack för hjälpen!\n"
                "{provider_name}\n"
            ),
        },
        "email_withdrawn.subject": {
            "en": "Order {order_id}: our request no longer applies",
            "de": "Bestellung {order_id}: unsere Bitte gilt nicht mehr",
            "da": "Ordre {order_id}: vores anmodning gælder ikke længere",
            "nl": "Bestelling {order_id}: ons verzoek vervalt",
            "sv": "Order {order_id}: vår begäran gäller inte längre",
        },
        "email_withdrawn.body": {
            "en": (
                "Hello,\n"
                "\n"
                "We asked you to stop order {order_id} ({amount}). We withdraw this request: you may"
                " fulfil the order as usual, and you need not answer. If you have stopped it already, you"
                " are free to take it up again.\n"
                "\n"
                "We are sorry for the trouble.\n"
                "{provider_name}\n"
            ),
            "de": (
                "Guten Tag,\n"
                "\n"
                "wir hatten Sie gebeten, die Bestellung {order_id} ({amount}) zu stoppen. Diese Bitte"
                " ziehen wir zurück: Sie können die Bestellung wie gewohnt ausführen und brauchen nicht zu"
                " antworten. Falls Sie sie schon gestoppt haben, können Sie sie wieder aufnehmen.\n"
                "\n"
                "Wir bitten um Entschuldigung für die Umstände.\n"
                "{provider_name}\n"
            ),
            "da": (
                "Hej\n"
                "\n"
                "Vi bad jer om at stoppe ordre {order_id} ({amount}). Vi trækker anmodningen tilbage: I"
                " kan gennemføre ordren som sædvanligt og behøver ikke svare. Hvis I allerede har stoppet"
                " den, kan I genoptage den.\n"
                "\n"
                "Vi beklager ulejligheden.\n"
                "{provider_name}\n"
            ),
            "nl": (
                "Goedendag,\n"
                "\n"
                "Wij hebben u gevraagd bestelling {order_id} ({amount}) tegen te houden. Wij trekken dit"
                " verzoek in: u kunt de bestelling gewoon uitvoeren en hoeft niet te antwoorden. Als u de"
                " bestelling al hebt tegengehouden, kunt u deze weer in behandeling nemen.\n"
                "\n"
                "Onze excuses voor het ongemak.\n"
                "{provider_name}\n"
            ),
            "sv": (
                "Hej!\n"
                "\n"
                "Vi bad er att stoppa order {order_id} ({amount}). Vi drar tillbaka vår begäran: ni kan"
                " fullfölja ordern som vanligt och behöver inte svara. Om ni redan har stoppat den kan ni"
                " ta upp den igen.\n"
                "\n"
                "Vi ber om ursäkt för besväret.\n"
                "{provider_name}\n"
            ),
        },
        "email_expired.subject": {
            "en": "Order {order_id}: we have not received your answer",
            "de": "Bestellung {order_id}: Ihre Antwort fehlt uns noch",
            "da": "Ordre {order_id}: vi mangler stadig jeres svar",
            "nl": "Bestelling {order_id}: wij hebben nog geen antwoord van u",
            "sv": "Order {order_id}: vi saknar fortfarande ert svar",
        },
        "email_expired.body": {
            "en": (
                "Hello,\n"
                "\n"
                "We asked you to stop order {order_id} ({amount}) and needed your answer by {deadline}."
                " The time is over, so you may be liable for the order.\n"
                "\n"
                "You can still answer. If the order was held or came back, it costs you nothing: {link}\n"
                "\n"
                "{provider_name}\n"
            ),
            "de": (
                "Guten Tag,\n"
                "\n"
                "wir hatten Sie gebeten, die Bestellung {order_id} ({amount}) zu stoppen, und brauchten"
                " Ihre Antwort bis {deadline}. Diese Zeit ist vorbei, daher haften unter Umständen Sie für"
                " die Bestellung.\n"
                "\n"
                "Sie können noch antworten. Wurde die Bestellung zurückgehalten oder kam sie zurück, so"
                " kostet es Sie nichts: {link}\n"
                "\n"
                "{provider_name}\n"
            ),
            "da": (
                "Hej\n"
                "\n"
                "Vi bad jer om at stoppe ordre {order_id} ({amount}) og skulle have jeres svar senest"
                " {deadline}. Fristen er udløbet, så I kan komme til at hæfte for ordren.\n"
                "\n"
                "I kan stadig svare. Hvis ordren blev holdt tilbage eller kom retur, koster det jer ikke"
                " noget: {link}\n"
                "\n"
                "{provider_name}\n"
            ),
            "nl": (
                "Goedendag,\n"
                "\n"
                "Wij hebben u gevraagd bestelling {order_id} ({amount}) tegen te houden en hadden uw"
                " antwoord uiterlijk {deadline} nodig. Die termijn is verstreken, waardoor u mogelijk"
                " aansprakelijk bent voor de bestelling.\n"
                "\n"
                "U kunt nog antwoorden. Is de bestelling tegengehouden of teruggekomen, dan kost het u"
                " niets: {link}\n"
                "\n"
                "{provider_name}\n"
            ),
            "sv": (
                "Hej!\n"
                "\n"
                "Vi bad er att stoppa order {order_id} ({amount}) och behövde ert svar senast {deadline}."
                " Tiden har gått ut, så ni kan bli ansvariga för ordern.\n"
                "\n"
                "Ni kan fortfarande svara. Om ordern hölls kvar eller kom tillbaka kostar det er"
                " ingenting: {link}\n"
                "\n"
                "{provider_name}\n"
            ),
        },
        "email_contact_changed.subject": {
            "en": "The contact of {merchant_name} was changed",
            "de": "Die Kontaktdaten von {merchant_name} wurden geändert",
            "da": "Kontaktoplysningerne for {merchant_name} er ændret",
            "nl": "De contactgegevens van {merchant_name} zijn gewijzigd",
            "sv": "Kontaktuppgifterna för {merchant_name} har ändrats",
        },
        "email_contact_changed.body": {
            "en": (
                "Hello,\n"
                "\n"
                "From {time} on, {provider_name} reaches {merchant_name} here:\n"
                "\n"
                "{contact}\n"
                "\n"
                "We tell you at the contact that we had until then. If you know of the change, there"
                " is nothing to do.\n"
                "\n"
                "If you do not know of it, please get in touch with us at once: {customer_service}\n"
                "\n"
                "For {hours} hours after the change, our requests to stop an order also come to this"
                " mailbox.\n"
                "\n"
                "{provider_name}\n"
            ),
            "de": (
                "Guten Tag,\n"
                "\n"
                "ab {time} erreicht {provider_name} {merchant_name} hier:\n"
                "\n"
                "{contact}\n"
                "\n"
                "Wir schreiben Ihnen an den Kontakt, den wir bis dahin hatten. Wenn Ihnen die"
                " Änderung bekannt ist, müssen Sie nichts tun.\n"
                "\n"
                "Wenn sie Ihnen nicht bekannt ist, melden Sie sich bitte sofort bei uns:"
                " {customer_service}\n"
                "\n"
                "In den {hours} Stunden nach der Änderung kommen unsere Bitten, eine Bestellung zu"
                " stoppen, auch in dieses Postfach.\n"
                "\n"
                "{provider_name}\n"
            ),
            "da": (
                "Hej\n"
                "\n"
                "Fra {time} kontakter {provider_name} {merchant_name} her:\n"
                "\n"
                "{contact}\n"
                "\n"
                "Vi skriver til den kontakt, som vi havde indtil da. Hvis I kender til ændringen,"
                " skal I ikke gøre noget.\n"
                "\n"
                "Hvis I ikke kender til den, beder vi jer om at kontakte os med det samme:"
                " {customer_service}\n"
                "\n"
                "I de første {hours} timer efter ændringen kommer vores anmodninger om at stoppe en"
                " ordre også til denne postkasse.\n"
                "\n"
                "{provider_name}\n"
            ),
            "nl": (
                "Goedendag,\n"
                "\n"
                "Vanaf {time} bereikt {provider_name} {merchant_name} hier:\n"
                "\n"
                "{contact}\n"
                "\n"
                "Wij schrijven u op het contactadres dat wij tot dan toe hadden. Als u van de"
                " wijziging weet, hoeft u niets te doen.\n"
                "\n"
                "Weet u er niet van, neem dan meteen contact met ons op: {customer_service}\n"
                "\n"
                "In de {hours} uur na de wijziging komen onze verzoeken om een bestelling tegen te"
                " houden ook in deze mailbox.\n"
                "\n"
                "{provider_name}\n"
            ),
            "sv": (
                "Hej!\n"
                "\n"
                "Från {time} når {provider_name} {merchant_name} här:\n"
                "\n"
                "{contact}\n"
                "\n"
                "Vi skriver till den kontakt som vi hade fram till dess. Om ni känner till ändringen"
                " behöver ni inte göra något.\n"
                "\n"
                "Om ni inte känner till den ber vi er att kontakta oss genast: {customer_service}\n"
                "\n"
                "Under {hours} timmar efter ändringen kommer våra begäranden om att stoppa en order"
                " även till den här brevlådan.\n"
                "\n"
                "{provider_name}\n"
            ),
        },
        "contact.email": {
            "en": "E-mail: {address}",
            "de": "E-Mail: {address}",
            "da": "E-mail: {address}",
            "nl": "E-mail: {address}",
            "sv": "E-post: {address}",
        },
        "contact.endpoint": {
            "en": "Webhooks: {address}",
            "de": "Webhooks: {address}",
            "da": "Webhooks: {address}",
            "nl": "Webhooks: {address}",
            "sv": "Webhooks: {address}",
        },
        "contact.no_endpoint": {
            "en": "Webhooks: none",
            "de": "Webhooks: keine",
            "da": "Webhooks: ingen",
            "nl": "Webhooks: geen",
            "sv": "Webhooks: inga",
        },
        "email_question.subject": {
            "en": "Order {order_id}: a question",
            "de": "Bestellung {order_id}: eine Rückfrage",
            "da": "Ordre {order_id}: et spørgsmål",
            "nl": "Bestelling {order_id}: een vraag",
            "sv": "Order {order_id}: en fråga",
        },
        "email_question.body": {
            "en": (
                "Hello,\n"
                "\n"
                "You told us about order {order_id} ({amount}). We have a question about it:\n"
                "\n"
                "{question}\n"
                "\n"
                "Please add your reply in the form: {link}\n"
                "\n"
                "Thank you for your help.\n"
                "{provider_name}\n"
            ),
            "de": (
                "Guten Tag,\n"
                "\n"
                "Sie haben uns zur Bestellung {order_id} ({amount}) geantwortet. Dazu haben wir eine"
                " Rückfrage:\n"
                "\n"
                "{question}\n"
                "\n"
                "Bitte ergänzen Sie Ihre Antwort im Formular: {link}\n"
                "\n"
                "Vielen Dank für Ihre Hilfe.\n"
                "{provider_name}\n"
            ),
            "da": (
                "Hej\n"
                "\n"
                "I har svaret os om ordre {order_id} ({amount}). Vi har et spørgsmål til det:\n"
                "\n"
                "{question}\n"
                "\n"
                "Tilføj venligst jeres svar i formularen: {link}\n"
                "\n"
                "Tak for hjælpen.\n"
                "{provider_name}\n"
            ),
            "nl": (
                "Goedendag,\n"
                "\n"
                "U hebt ons geantwoord over bestelling {order_id} ({amount}). Wij hebben daar een vraag"
                " over:\n"
                "\n"
                "{question}\n"
                "\n"
                "Vul uw antwoord aan in het formulier: {link}\n"
                "\n"
                "Hartelijk dank voor uw hulp.\n"
                "{provider_name}\n"
            ),
            "sv": (
                "Hej!\n"
                "\n"
                "Ni har svarat oss om order {order_id} ({amount}). Vi har en fråga om den:\n"
                "\n"
                "{question}\n"
                "\n"
                "Lägg till ert svar i formuläret: {link}\n"
                "\n"
                "Tack för hjälpen!\n"
                "{provider_name}\n"
            ),
        },
        "form.heading": {
            "en": "Please stop order {order_id}",
            "de": "Bitte stoppen Sie die Bestellung {order_id}",
            "da": "Stop venligst ordre {order_id}",
            "nl": "Verzoek om bestelling {order_id} tegen te houden",
            "sv": "Vi ber er att stoppa order {order_id}",
        },
        "form.amount": {
            "en": "Amount: {amount}",
            "de": "Betrag: {amount}",
            "da": "Beløb: {amount}",
            "nl": "Bedrag: {amount}",
            "sv": "Belopp: {amount}",
        },
        "form.introduction": {
            "en": "{provider_name} handles payment by invoice for your shop. Please tell us where this order"
            " stands. The risk lies with the order, not with the person named as recipient.",
            "de": "{provider_name} wickelt für Sie den Kauf auf Rechnung ab. Bitte teilen Sie uns mit, wie es"
            " um diese Bestellung steht. Das Risiko liegt bei der Bestellung, nicht bei der Person, die als"
            " Empfänger angegeben ist.",
            "da": "{provider_name} står for fakturabetaling i jeres butik. Fortæl os, hvor langt ordren er."
            " Risikoen knytter sig til ordren, ikke til den person, der er angivet som modtager.",
            "nl": "{provider_name} verzorgt voor u de betaling op factuur. Laat ons weten hoe het met deze"
            " bestelling staat. Het risico ligt bij de bestelling, niet bij de persoon die als ontvanger is"
            " opgegeven.",
            "sv": "{provider_name} sköter fakturabetalningen åt er butik. Berätta för oss hur långt ordern"
            " har kommit. Risken gäller ordern, inte den person som har angetts som mottagare.",
        },
        "form.deadline": {
            "en": "Please answer by {deadline}.",
            "de": "Bitte antworten Sie bis {deadline}.",
            "da": "Svar venligst senest {deadline}.",
            "nl": "Geef uw antwoord uiterlijk {deadline}.",
            "sv": "Svara senast {deadline}.",
        },
        "form.deadline_hours": {
            "en": "Please answer within {hours} hours.",
            "de": "Bitte antworten Sie innerhalb von {hours} Stunden.",
            "da": "Svar venligst inden for {hours} timer.",
            "nl": "Geef uw antwoord binnen {hours} uur.",
            "sv": "Svara inom {hours} timmar.",
        },
        "form.deadline_passed": {
            "en": "We needed your answer by {deadline}. You can still answer.",
            "de": "Wir brauchten Ihre Antwort bis {deadline}. Sie können noch antworten.",
            "da": "Vi skulle have haft jeres svar senest {deadline}. I kan stadig svare.",
            "nl": "Wij hadden uw antwoord uiterlijk {deadline} nodig. U kunt nog antwoorden.",
            "sv": "Vi behövde ert svar senast {deadline}. Ni kan fortfarande svara.",
        },
        "form.customer_referral": {
            "en": "If the customer contacts you about the order, please refer them to the customer service of"
            " {provider_name}: {customer_service}",
            "de": "Wenn sich die Kundin oder der Kunde wegen der Bestellung bei Ihnen meldet, verweisen Sie"
            " bitte an den Kundenservice von {provider_name}: {customer_service}",
            "da": "Hvis kunden henvender sig til jer om ordren, beder vi jer om at henvise til kundeservice"
            " hos {provider_name}: {customer_service}",
            "nl": "Als de klant contact met u opneemt over de bestelling, verwijs dan naar de klantenservice"
            " van {provider_name}: {customer_service}",
            "sv": "Om kunden hör av sig till er om ordern ber vi er att hänvisa till kundtjänsten hos"
            " {provider_name}: {customer_service}",
        },
        "form.answer_heading": {
            "en": "Where does the order stand?",
            "de": "Wie steht es um die Bestellung?",
            "da": "Hvad er ordrens status?",
            "nl": "Wat is de stand van de bestelling?",
            "sv": "Vad är orderns status?",
        },
        "form.shipment_heading": {
            "en": "About the shipment",
            "de": "Angaben zum Versand",
            "da": "Om forsendelsen",
            "nl": "Over de zending",
            "sv": "Om försändelsen",
        },
        "form.shipment_only_for": {
            "en": "Only if you choose this answer: {answer}.",
            "de": "Nur wenn Sie diese Antwort wählen: {answer}.",
            "da": "Kun hvis I vælger dette svar: {answer}.",
            "nl": "Alleen als u dit antwoord kiest: {answer}.",
            "sv": "Bara om ni väljer det här svaret: {answer}.",
        },
        "form.shipment_hint": {
            "en": "Please enter these even if the parcel has already been collected.",
            "de": "Bitte auch dann angeben, wenn das Paket schon abgeholt wurde.",
            "da": "Udfyld dem også, selv om pakken allerede er hentet.",
            "nl": "Vul dit ook in als het pakket al is opgehaald.",
            "sv": "Fyll i uppgifterna även om paketet redan har hämtats ut.",
        },
        "form.note_heading": {
            "en": "Anything else we should know?",
            "de": "Möchten Sie uns noch etwas mitteilen?",
            "da": "Er der andet, vi bør vide?",
            "nl": "Moeten wij verder nog iets weten?",
            "sv": "Är det något mer vi bör veta?",
        },
        "form.note_hint": {
            "en": "Optional. Please do not enter any personal details.",
            "de": "Freiwillig. Bitte geben Sie keine persönlichen Daten an.",
            "da": "Valgfrit. Skriv venligst ingen personlige oplysninger.",
            "nl": "Niet verplicht. Vermeld hier geen persoonlijke gegevens.",
            "sv": "Frivilligt. Skriv inga personuppgifter här.",
        },
        "form.thanks_heading": {
            "en": "Thank you for your answer",
            "de": "Vielen Dank für Ihre Antwort",
            "da": "Tak for jeres svar",
            "nl": "Bedankt voor uw antwoord",
            "sv": "Tack för ert svar",
        },
        "form.answers_heading": {
            "en": "What you told us",
            "de": "Ihre bisherigen Angaben",
            "da": "Det har I fortalt os",
            "nl": "Wat u ons hebt laten weten",
            "sv": "Det här har ni berättat",
        },
        "form.answered_at": {
            "en": "Received: {time}",
            "de": "Eingegangen: {time}",
            "da": "Modtaget: {time}",
            "nl": "Ontvangen: {time}",
            "sv": "Mottaget: {time}",
        },
        "form.consequences_heading": {
            "en": "What happens next",
            "de": "Wie es weitergeht",
            "da": "Det sker der nu",
            "nl": "Hoe het verder gaat",
            "sv": "Det här händer nu",
        },
        "form.add_later": {
            "en": "If anything changes, you can add information through the same link.",
            "de": "Wenn sich etwas ändert, können Sie über denselben Link Angaben ergänzen.",
            "da": "Hvis noget ændrer sig, kan I tilføje oplysninger via det samme link.",
            "nl": "Als er iets verandert, kunt u via dezelfde link informatie toevoegen.",
            "sv": "Om något ändras kan ni lägga till uppgifter via samma länk.",
        },
        "form.mistakes_heading": {
            "en": "Something is still missing or needs correcting",
            "de": "Es fehlt noch etwas oder ist zu berichtigen",
            "da": "Der mangler noget, eller noget skal rettes",
            "nl": "Er ontbreekt nog iets of er moet iets worden verbeterd",
            "sv": "Något saknas eller behöver rättas",
        },
        "form.language": {
            "en": "Language",
            "de": "Sprache",
            "da": "Sprog",
            "nl": "Taal",
            "sv": "Språk",
        },
        "form.problem_heading": {
            "en": "This page cannot be shown",
            "de": "Diese Seite kann nicht angezeigt werden",
            "da": "Siden kan ikke vises",
            "nl": "Deze pagina kan niet worden getoond",
            "sv": "Sidan kan inte visas",
        },
        "form.not_sent_heading": {
            "en": "Your answer was not accepted",
            "de": "Ihre Antwort wurde nicht angenommen",
            "da": "Jeres svar blev ikke modtaget",
            "nl": "Uw antwoord is niet aangenomen",
            "sv": "Ert svar togs inte emot",
        },
        "answer.stopped_before_shipping": {
            "en": "We stopped the order before it was shipped",
            "de": "Wir haben die Bestellung vor dem Versand gestoppt",
            "da": "Vi har stoppet ordren, før den blev sendt",
            "nl": "Wij hebben de bestelling vóór verzending tegengehouden",
            "sv": "Vi har stoppat ordern innan den skickades",
        },
        "answer.shipped_with_tracking": {
            "en": "The order has already been shipped, with a tracking number",
            "de": "Die Bestellung ist bereits versandt, mit Sendungsnummer",
            "da": "Ordren er allerede sendt, med sporingsnummer",
            "nl": "De bestelling is al verzonden, met een trackingnummer",
            "sv": "Ordern har redan skickats, med spårningsnummer",
        },
        "answer.shipped_without_tracking": {
            "en": "The order has already been shipped, without a tracking number",
            "de": "Die Bestellung ist bereits versandt, ohne Sendungsnummer",
            "da": "Ordren er allerede sendt, uden sporingsnummer",
            "nl": "De bestelling is al verzonden, zonder trackingnummer",
            "sv": "Ordern har redan skickats, utan spårningsnummer",
        },
        "answer.service_cut": {
            "en": "It is a service, and we have cut off access",
            "de": "Es ist eine Dienstleistung, und wir haben den Zugang gesperrt",
            "da": "Det er en tjeneste, og vi har lukket for adgangen",
            "nl": "Het is een dienst en wij hebben de toegang afgesloten",
            "sv": "Det är en tjänst och vi har stängt av åtkomsten",
        },
        "answer.service_cannot_be_cut": {
            "en": "It is a service, and access cannot be cut off",
            "de": "Es ist eine Dienstleistung, und der Zugang lässt sich nicht sperren",
            "da": "Det er en tjeneste, og der kan ikke lukkes for adgangen",
            "nl": "Het is een dienst en de toegang kan niet worden afgesloten",
            "sv": "Det är en tjänst och åtkomsten går inte att stänga av",
        },
        "answer.parcel_returned": {
            "en": "The parcel has come back to us",
            "de": "Das Paket ist zu uns zurückgekommen",
            "da": "Pakken er kommet tilbage til os",
            "nl": "Het pakket is bij ons teruggekomen",
            "sv": "Paketet har kommit tillbaka till oss",
        },
        "field.kind": {
            "en": "Answer",
            "de": "Antwort",
            "da": "Svar",
            "nl": "Antwoord",
            "sv": "Svar",
        },
        "field.carrier": {
            "en": "Carrier",
            "de": "Versanddienstleister",
            "da": "Transportør",
            "nl": "Vervoerder",
            "sv": "Transportör",
        },
        "field.tracking_number": {
            "en": "Tracking number",
            "de": "Sendungsnummer",
            "da": "Sporingsnummer",
            "nl": "Trackingnummer",
            "sv": "Spårningsnummer",
        },
        "field.note": {
            "en": "Note",
            "de": "Anmerkung",
            "da": "Bemærkning",
            "nl": "Opmerking",
            "sv": "Anmärkning",
        },
        "button.send": {
            "en": "Send answer",
            "de": "Antwort senden",
            "da": "Send svar",
            "nl": "Antwoord versturen",
            "sv": "Skicka svar",
        },
        "button.add_information": {
            "en": "Add information",
            "de": "Angaben ergänzen",
            "da": "Tilføj oplysninger",
            "nl": "Informatie toevoegen",
            "sv": "Lägg till uppgifter",
        },
        "button.back": {
            "en": "Back",
            "de": "Zurück",
            "da": "Tilbage",
            "nl": "Terug",
            "sv": "Tillbaka",
        },
        "error.answer_required": {
            "en": "Please choose one of the answers.",
            "de": "Bitte wählen Sie eine der Antworten aus.",
            "da": "Vælg et af svarene.",
            "nl": "Kies een van de antwoorden.",
            "sv": "Välj ett av svaren.",
        },
        "error.field_required": {
            "en": "Please fill in this field: {field}.",
            "de": "Bitte füllen Sie dieses Feld aus: {field}.",
            "da": "Udfyld dette felt: {field}.",
            "nl": "Vul dit veld in: {field}.",
            "sv": "Fyll i det här fältet: {field}.",
        },
        "error.field_too_long": {
            "en": "Please use at most {maximum} characters in this field: {field}.",
            "de": "Bitte verwenden Sie in diesem Feld höchstens {maximum} Zeichen: {field}.",
            "da": "Brug højst {maximum} tegn i dette felt: {field}.",
            "nl": "Gebruik in dit veld hoogstens {maximum} tekens: {field}.",
            "sv": "Använd högst {maximum} tecken i det här fältet: {field}.",
        },
        "error.field_not_one_line": {
            "en": "Please write this field on one line, without special control characters: {field}.",
            "de": "Bitte schreiben Sie dieses Feld in eine Zeile, ohne Steuerzeichen: {field}.",
            "da": "Skriv dette felt på én linje uden styretegn: {field}.",
            "nl": "Schrijf dit veld op één regel, zonder besturingstekens: {field}.",
            "sv": "Skriv det här fältet på en rad, utan styrtecken: {field}.",
        },
        "error.field_not_wanted": {
            "en": "Please leave this field empty unless you shipped with a tracking number: {field}.",
            "de": "Bitte lassen Sie dieses Feld leer, wenn Sie nicht mit Sendungsnummer versandt haben:"
            " {field}.",
            "da": "Lad dette felt stå tomt, hvis I ikke har sendt med sporingsnummer: {field}.",
            "nl": "Laat dit veld leeg als u niet met een trackingnummer hebt verzonden: {field}.",
            "sv": "Lämna det här fältet tomt om ni inte har skickat med spårningsnummer: {field}.",
        },
        "error.link_invalid": {
            "en": "There is nothing at this address. Please open the complete link from our e-mail, or ask"
            " us for a new one.",
            "de": "Unter dieser Adresse gibt es nichts. Bitte öffnen Sie den vollständigen Link aus unserer"
            " E-Mail oder bitten Sie uns um einen neuen.",
            "da": "Der er ikke noget på denne adresse. Åbn hele linket i vores e-mail, eller bed os om et"
            " nyt.",
            "nl": "Op dit adres is niets te vinden. Open de volledige link uit onze e-mail of vraag ons om"
            " een nieuwe.",
            "sv": "Det finns ingenting på den här adressen. Öppna hela länken i vårt mejl eller be oss om en"
            " ny.",
        },
        "error.form_unreadable": {
            "en": "We could not read what was sent. Please go back and use the form on this page.",
            "de": "Wir konnten die gesendeten Angaben nicht lesen. Bitte gehen Sie zurück und benutzen Sie"
            " das Formular auf dieser Seite.",
            "da": "Vi kunne ikke læse det, der blev sendt. Gå tilbage, og brug formularen på denne side.",
            "nl": "Wij konden niet lezen wat er is verstuurd. Ga terug en gebruik het formulier op deze"
            " pagina.",
            "sv": "Vi kunde inte läsa det som skickades. Gå tillbaka och använd formuläret på den här sidan.",
        },
        "error.form_too_large": {
            "en": "What was sent is too long. Please go back and write less.",
            "de": "Die gesendeten Angaben sind zu lang. Bitte gehen Sie zurück und fassen Sie sich kürzer.",
            "da": "Det, der blev sendt, er for langt. Gå tilbage, og skriv mindre.",
            "nl": "Wat er is verstuurd, is te lang. Ga terug en schrijf minder.",
            "sv": "Det som skickades är för långt. Gå tillbaka och skriv mindre.",
        },
        "error.other_site": {
            "en": "This answer was sent from another website, so we did not accept it. Please go back and"
            " use the form on this page.",
            "de": "Diese Antwort kam von einer anderen Website, deshalb haben wir sie nicht angenommen."
            " Bitte gehen Sie zurück und benutzen Sie das Formular auf dieser Seite.",
            "da": "Svaret kom fra et andet websted, så vi har ikke modtaget det. Gå tilbage, og brug"
            " formularen på denne side.",
            "nl": "Dit antwoord kwam van een andere website, daarom hebben wij het niet aangenomen. Ga terug"
            " en gebruik het formulier op deze pagina.",
            "sv": "Svaret kom från en annan webbplats, så vi tog inte emot det. Gå tillbaka och använd"
            " formuläret på den här sidan.",
        },
        "error.try_again": {
            "en": "This does not work at the moment. Please try again shortly; sending an answer twice does"
            " no harm.",
            "de": "Das ist im Moment nicht möglich. Bitte versuchen Sie es in Kürze noch einmal; eine"
            " Antwort zweimal zu senden schadet nicht.",
            "da": "Det er ikke muligt lige nu. Prøv igen om lidt; det gør ikke noget at sende et svar to"
            " gange.",
            "nl": "Dit lukt op dit moment niet. Probeer het zo meteen nog eens; een antwoord tweemaal"
            " versturen kan geen kwaad.",
            "sv": "Det går inte just nu. Försök igen om en stund; det gör inget om ett svar skickas två"
            " gånger.",
        },
        "error.link_expired": {
            "en": "We are sorry, this link no longer works. Please use the link in our latest e-mail about"
            " the order, or ask us for a new one.",
            "de": "Dieser Link ist leider nicht mehr gültig. Bitte nutzen Sie den Link in unserer letzten"
            " E-Mail zu der Bestellung oder bitten Sie uns um einen neuen.",
            "da": "Linket virker desværre ikke længere. Brug linket i vores seneste e-mail om ordren, eller"
            " bed os om et nyt.",
            "nl": "Deze link werkt helaas niet meer. Gebruik de link in onze laatste e-mail over de"
            " bestelling of vraag ons om een nieuwe.",
            "sv": "Länken fungerar tyvärr inte längre. Använd länken i vårt senaste mejl om ordern eller be"
            " oss om en ny.",
        },
        "error.already_answered": {
            "en": "Thank you, we already have this answer. You do not need to send it again.",
            "de": "Vielen Dank, diese Antwort liegt uns bereits vor. Sie müssen sie nicht noch einmal"
            " senden.",
            "da": "Tak, vi har allerede modtaget dette svar. I behøver ikke at sende det igen.",
            "nl": "Dank u, wij hebben dit antwoord al ontvangen. U hoeft het niet nog eens te versturen.",
            "sv": "Tack, vi har redan fått det här svaret. Ni behöver inte skicka det igen.",
        },
        "error.contradicting_answer": {
            "en": "This answer does not fit the one you gave before, so the earlier one still counts. If"
            " something has changed, please send the earlier answer again and tell us in the note.",
            "de": "Diese Antwort passt nicht zu Ihrer früheren, deshalb gilt weiterhin die frühere. Wenn sich"
            " etwas geändert hat, senden Sie bitte die frühere Antwort noch einmal und schreiben Sie es in"
            " die Anmerkung.",
            "da": "Svaret passer ikke med jeres tidligere svar, så det tidligere svar gælder stadig. Hvis"
            " noget har ændret sig, så send det tidligere svar igen, og skriv det i bemærkningen.",
            "nl": "Dit antwoord past niet bij uw eerdere antwoord; daarom blijft het eerdere gelden. Is er"
            " iets veranderd, stuur dan het eerdere antwoord nog eens en vermeld het in de opmerking.",
            "sv": "Svaret stämmer inte med ert tidigare svar, så det tidigare svaret gäller fortfarande. Om"
            " något har ändrats kan ni skicka det tidigare svaret igen och skriva det i anmärkningen.",
        },
        "error.changed_meanwhile": {
            "en": "This order was changed at the same moment, so your answer was not taken. Please look"
            " again and send it once more.",
            "de": "Im selben Moment hat sich zu dieser Bestellung etwas geändert, deshalb wurde Ihre Antwort"
            " nicht übernommen. Bitte sehen Sie noch einmal nach und senden Sie sie erneut.",
            "da": "Der skete en ændring for ordren i samme øjeblik, så svaret blev ikke gemt. Se efter igen,"
            " og send det en gang til.",
            "nl": "Op hetzelfde moment is er iets aan deze bestelling gewijzigd; daarom is uw antwoord niet"
            " opgeslagen. Kijk nog eens en verstuur het opnieuw.",
            "sv": "Något ändrades för ordern i samma ögonblick, så svaret sparades inte. Titta igen och"
            " skicka det en gång till.",
        },
        "error.request_withdrawn": {
            "en": "We have withdrawn this request. You may fulfil the order as usual, and no answer is"
            " needed.",
            "de": "Wir haben diese Bitte zurückgezogen. Sie können die Bestellung wie gewohnt ausführen, eine"
            " Antwort ist nicht nötig.",
            "da": "Vi har trukket denne anmodning tilbage. I kan behandle ordren som normalt og behøver ikke"
            " at svare.",
            "nl": "Wij hebben dit verzoek ingetrokken. U kunt de bestelling gewoon uitvoeren en hoeft niet te"
            " antwoorden.",
            "sv": "Vi har dragit tillbaka den här begäran. Ni kan hantera ordern som vanligt och behöver inte"
            " svara.",
        },
        "consequence.invoice_cancelled": {
            "en": "Please remove the invoice for this order or register the whole order as returned, so that"
            " no further invoice is sent.",
            "de": "Bitte entfernen Sie die Rechnung zu dieser Bestellung oder erfassen Sie die ganze"
            " Bestellung als Retoure, damit keine weitere Rechnung verschickt wird.",
            "da": "Fjern fakturaen for ordren, eller registrer hele ordren som returneret, så der ikke sendes"
            " flere fakturaer.",
            "nl": "Verwijder de factuur van deze bestelling of registreer de hele bestelling als retour,"
            " zodat er geen verdere factuur wordt verstuurd.",
            "sv": "Ta bort fakturan för ordern eller registrera hela ordern som returnerad, så att ingen"
            " ytterligare faktura skickas.",
        },
        "consequence.provider_recalls_parcel": {
            "en": "We can recall the parcel from this carrier for you.",
            "de": "Wir können das Paket bei diesem Versanddienstleister für Sie zurückrufen.",
            "da": "Vi kan kalde pakken tilbage for jer hos denne transportør.",
            "nl": "Wij kunnen het pakket bij deze vervoerder voor u terugroepen.",
            "sv": "Vi kan återkalla paketet åt er hos den här transportören.",
        },
        "consequence.merchant_recalls_parcel": {
            "en": "We cannot recall parcels from this carrier, so please recall the parcel yourself.",
            "de": "Bei diesem Versanddienstleister können wir keine Pakete zurückrufen, bitte rufen Sie das"
            " Paket daher selbst zurück.",
            "da": "Vi kan ikke kalde pakker tilbage hos denne transportør, så vi beder jer om selv at kalde"
            " pakken tilbage.",
            "nl": "Bij deze vervoerder kunnen wij geen pakketten terugroepen, dus roep het pakket alstublieft"
            " zelf terug.",
            "sv": "Vi kan inte återkalla paket hos den här transportören, så vi ber er att själva återkalla"
            " paketet.",
        },
        "consequence.liability_moves_to_merchant": {
            "en": "Under our agreement, liability for this order passes to you.",
            "de": "Nach unserer Vereinbarung geht die Haftung für diese Bestellung auf Sie über.",
            "da": "Efter vores aftale overgår ansvaret for denne ordre til jer.",
            "nl": "Volgens onze overeenkomst gaat de aansprakelijkheid voor deze bestelling op u over.",
            "sv": "Enligt vårt avtal övergår ansvaret för den här ordern till er.",
        },
        "consequence.service_cut": {
            "en": "We have recorded that access to the service is cut off; please make sure that it stays"
            " so.",
            "de": "Wir haben vermerkt, dass der Zugang zu der Dienstleistung gesperrt ist; bitte sorgen Sie"
            " dafür, dass es so bleibt.",
            "da": "Vi har noteret, at der er lukket for adgangen til tjenesten; sørg venligst for, at det"
            " forbliver sådan.",
            "nl": "Wij hebben genoteerd dat de toegang tot de dienst is afgesloten; zorg er alstublieft voor"
            " dat dit zo blijft.",
            "sv": "Vi har noterat att åtkomsten till tjänsten är avstängd; se till att den förblir det.",
        },
        "consequence.wait_for_dispute": {
            "en": "There is nothing for you to do for now; we will get in touch if the invoice is disputed.",
            "de": "Sie müssen vorerst nichts tun; wir melden uns, falls die Rechnung bestritten wird.",
            "da": "I skal ikke gøre noget foreløbig; vi kontakter jer, hvis der gøres indsigelse mod"
            " fakturaen.",
            "nl": "U hoeft voorlopig niets te doen; wij nemen contact met u op als de factuur wordt betwist.",
            "sv": "Ni behöver inte göra något just nu; vi hör av oss om fakturan bestrids.",
        },
        "consequence.order_returned": {
            "en": "Please register the order as returned.",
            "de": "Bitte erfassen Sie die Bestellung als Retoure.",
            "da": "Registrer venligst ordren som returneret.",
            "nl": "Registreer de bestelling alstublieft als retour.",
            "sv": "Registrera ordern som returnerad.",
        },
    }
)
"""Every text by its code, then by language."""

_THOUSANDS_AND_DECIMAL: Mapping[str, tuple[str, str]] = MappingProxyType(
    # A plain space would let a mail program break a Swedish amount in two.
    {"en": (",", "."), "de": (".", ","), "da": (".", ","), "nl": (".", ","), "sv": ("\u00a0", ",")}
)
_CURRENCY_FIRST = frozenset({"en", "nl"})
_NUMERIC_DATES: Mapping[str, str] = MappingProxyType({"da": "%d.%m.%Y", "nl": "%d-%m-%Y", "sv": "%Y-%m-%d"})


def text_language(language: str) -> str:
    """The language in which we have texts for a wanted one, English where we have none.

    >>> text_language("sv"), text_language("de-AT"), text_language("fi")
    ('sv', 'de', 'en')
    """
    primary = primary_language(language)
    return primary if primary in LANGUAGES else FALLBACK_LANGUAGE


def merchant_text(code: str, language: str, **values: str) -> str:
    """The text of a code with its placeholders filled.

    Raises KeyError for an unknown code or a placeholder without a value: nothing half-filled is sent.
    """
    return TEXTS[code][text_language(language)].format_map(values)


def answer_label(kind: AnswerKind, language: str) -> str:
    """How an answer is offered in the form."""
    return merchant_text(f"answer.{kind.value}", language)


def field_label(field: str, language: str) -> str:
    """The label of a form field: kind, carrier, tracking_number or note."""
    return merchant_text(f"field.{field}", language)


def consequence_text(code: ConsequenceCode, language: str) -> str:
    """What follows from the merchant's answer, as one sentence to the merchant."""
    return merchant_text(f"consequence.{code.value}", language)


def local_amount(cents: int, currency: str, language: str) -> str:
    """An amount of minor units in local form.

    >>> local_amount(123456, "EUR", "en"), local_amount(123456, "EUR", "de"), local_amount(5, "KWD", "nl")
    ('EUR 1,234.56', '1.234,56 EUR', 'KWD 0,005')
    """
    language = text_language(language)
    thousands, decimal = _THOUSANDS_AND_DECIMAL[language]
    number = amount_figure(cents, currency, thousands=thousands, decimal=decimal)
    return f"{currency} {number}" if language in _CURRENCY_FIRST else f"{number} {currency}"


def local_date(day: date, language: str) -> str:
    """A date in local form.

    >>> [local_date(date(2026, 3, 1), language) for language in ("en", "da", "nl", "sv")]
    ['1 March 2026', '01.03.2026', '01-03-2026', '2026-03-01']
    """
    language = text_language(language)
    if language in _NUMERIC_DATES:
        return day.strftime(_NUMERIC_DATES[language])
    return date_text(day, language)


def local_deadline(deadline: datetime, language: str) -> str:
    """A deadline in local form: date, time and time zone.

    Raises ValueError for one without a time zone, which a merchant elsewhere would misread.

    >>> from datetime import UTC
    >>> local_deadline(datetime(2026, 3, 1, 14, 30, tzinfo=UTC), "de")
    '01.03.2026, 14:30 (UTC)'
    """
    if deadline.tzinfo is None:
        raise ValueError("the deadline has no time zone")
    return f"{local_date(deadline.date(), language)}, {deadline:%H:%M} ({deadline.tzname()})"
