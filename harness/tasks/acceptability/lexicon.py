"""The content words of the acceptability task, as data; `words.py` reads and inflects them."""

from __future__ import annotations

PEOPLE = """
teacher doctor nurse lawyer pilot farmer singer painter writer driver baker banker judge soldier
sailor student waiter plumber tailor actor dancer artist author barber captain carpenter cashier
chemist clerk composer critic dentist designer detective director editor engineer gardener guest
hunter inspector janitor journalist librarian manager mayor mechanic merchant minister musician
neighbor novelist officer operator patient philosopher photographer physicist poet politician
prisoner professor programmer psychologist publisher reporter researcher scholar scientist
secretary senator sculptor surgeon tenant tourist trader translator traveler tutor visitor
volunteer consultant customer athlete accountant analyst
"""
MEN = """
man/men boy king prince uncle grandfather nephew gentleman/gentlemen husband son brother father
monk duke priest
"""
WOMEN = """
woman/women girl queen princess aunt grandmother niece lady wife/wives daughter sister mother
nun duchess actress
"""
HIS_NAMES = """
John James Robert Michael William David Richard Thomas Charles Daniel Matthew Anthony Mark Steven
Paul Andrew Joshua Kevin Brian George Edward Ronald Timothy Jason Jeffrey Ryan Jacob Nicholas Eric
Jonathan Stephen Larry Justin Scott Benjamin Samuel Frank Gregory Patrick Peter
"""
HER_NAMES = """
Mary Patricia Jennifer Linda Elizabeth Barbara Susan Jessica Sarah Karen Nancy Lisa Margaret Betty
Sandra Ashley Emily Donna Michelle Carol Amanda Melissa Deborah Stephanie Rebecca Laura Helen
Cynthia Amy Angela Anna Emma Nicole Samantha Katherine Christine Julia Rachel Catherine Maria
"""
PLACES = """
park bridge river lake church hospital airport station garden museum hotel factory castle forest
farm theater library village tower mountain valley market fountain gate barn harbor temple stadium
school office cottage prison palace bakery restaurant monument statue canal tunnel pond cathedral
warehouse lighthouse tavern fence
"""
STUFF = """
furniture luggage rice sand milk information advice equipment homework jewelry laundry bread butter
cheese coffee sugar salt flour gold silver money mud music evidence electricity honey dust clothing
garbage gasoline tea wine wool steel soap
"""
PERSONAL_ADJECTIVES = """
tall clever kind brave tired hungry angry rich famous young polite lazy shy proud nervous honest
generous careful cheerful curious friendly gentle healthy jealous lonely loyal modest poor popular
quiet rude sad selfish serious silly smart sober stubborn talented thirsty thoughtful wise witty
anxious ambitious
"""
THING_ADJECTIVES = """
red old heavy new cheap shiny tiny wooden dirty expensive small oval round square blue green black
white yellow purple thick thin rusty dusty fragile colorful elegant ugly beautiful strange plain
modern antique narrow huge smooth rough bright dark sturdy
"""
# Verbs: base [past participle [-ing form]] [: things that one does it to]; other forms regular.
STRONG_VERBS = """
break broke broken: vase window mirror
choose chose chosen: jacket carpet curtain
draw drew drawn: picture map portrait
drive drove driven: truck taxi tractor
eat ate eaten eating: apple sandwich cookie
forget forgot forgotten forgetting: password address passport
freeze froze frozen: steak pie chicken
grow grew grown: rose melon pumpkin
hide hid hidden: key coin treasure
ride rode ridden: horse bicycle camel
see saw seen seeing: comet rainbow eagle
shake shook shaken: bottle rug branch
blow blew blown: whistle trumpet bubble
steal stole stolen: necklace wallet diamond
take took taken: umbrella pencil ladder
tear tore torn: shirt envelope poster
throw threw thrown: ball stone spear
wear wore worn: hat coat sweater
write wrote written: letter poem novel
bite bit bitten: pear carrot peach
sing sang sung: song hymn ballad
shrink shrank shrunk: dress quilt blouse
weave wove woven: basket blanket tapestry
fly flew flown: kite helicopter glider
undo undid undone: button knot zipper
"""
THING_VERBS = """
repair: radiator faucet engine
destroy: document fortress weapon
purchase: sofa lamp piano
borrow: pen guitar camera
examine: fossil skeleton microscope
inspect: elevator pipe roof
replace: battery tire bulb
lock: drawer cabinet closet
occupy: apartment tent booth
polish: boot trophy spoon
remove: nail stain sticker
carry: suitcase box bucket
lift: crate barrel trunk
construct: shed cabin dam
demolish: hut wall garage
invent: gadget robot telescope
devour: muffin burger pancake
fasten: belt strap buckle
acquire: mansion yacht island
sharpen: blade sword axe
unlock: door vault locker
peel: banana onion orange
wrap wrapped wrapped: gift present bouquet
fetch: towel pillow napkin
grab grabbed grabbed: cup plate mug
crush: insect grape eggshell
erase: message sentence equation
locate: shipwreck trail submarine
retrieve: arrow anchor balloon
obtain: permit certificate license
bring brought brought: cushion candle flashlight
build built built: cage fireplace treehouse
buy bought bought: toy doll bracelet
find found found: feather shell ring
keep kept kept: receipt souvenir postcard
make made made: puppet bench crown
hold held held: rope flag microphone
send sent sent: invitation telegram fax
use: hammer shovel broom
drag dragged dragged: sled mattress log
"""
PERSON_VERBS = """
admire, blame, praise, trust, respect, criticize, insult, warn, protect, defend, embarrass, hate,
describe, amuse, encourage, introduce, deceive, congratulate, surprise, punish, rescue, ignore,
impress, disappoint, mock, motivate, betray, comfort, frighten, humiliate, injure, nominate,
portray, pity, reward, scare, soothe, adore, despise, flatter, endanger, distract, annoy,
entertain, calm
"""
INTRANSITIVE_VERBS = """
arrive, sleep slept slept, smile, laugh, cough, sneeze, yawn, vanish, disappear, faint, kneel
knelt knelt, shiver, tremble, snore, limp, giggle, blush, frown, sigh, hesitate, struggle,
collapse, grin grinned grinned, panic panicked panicked panicking, weep wept wept, stumble,
stagger, complain, apologize, fall fell fallen, depart, emerge, gossip, grumble, quarrel, sneer,
wait, whine, chuckle, flinch, stutter, die died died dying, wobble, squint, sob sobbed sobbed
"""
# Neutral ones only: "deny" or "doubt" would license a polarity item in their clause.
SAYING_VERBS = """
believe, claim, think thought thought, say said said, hope, suspect, announce, insist, realize,
assume, conclude, admit admitted admitted, declare, fear, predict, notice, imagine, report,
suggest, swear swore sworn
"""
# Verbs that take a that-clause as well as an indirect question.
KNOWING_VERBS = """
know knew known, remember, reveal, understand understood understood, explain, guess, learn,
recall, hear heard heard, confirm, discover, determine, prove, clarify, disclose
"""
